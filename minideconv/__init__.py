"""minideconv: segmentation networks that learn their upsampling, from scratch on NumPy and CuPy."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from minideconv.settings import starting

starting.begin()  # before the imports that take long

from minideconv import engine, functional, nn, ops, optim
from minideconv._version import __version__
from minideconv.autograd import (
    Tensor,
    detect_anomaly,
    enable_grad,
    grad,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from minideconv.autograd.creation import (
    arange,
    empty,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from minideconv.autograd.elementwise import maximum, minimum, where
from minideconv.autograd.other_names import DTYPES, FUNCTIONS, INSTEAD, refusing
from minideconv.autograd.reductions import matmul
from minideconv.autograd.shapes import concatenate, stack
from minideconv.backend import (
    algorithms,
    default_device,
    get_default_device,
    get_xp,
    parallel,
    precisions,
    set_default_device,
    synchronize,
)
from minideconv.backend.algorithms import algorithm, get_algorithm, set_algorithm, use_compiled
from minideconv.backend.precisions import get_precision, precision, set_precision
from minideconv.functional import log_softmax, relu, sigmoid, softmax, tanh
from minideconv.ops.switches import Switches
from minideconv.random import manual_seed
from minideconv.runtime import inference

cat = concatenate

if TYPE_CHECKING:
    from minideconv import data, models, segmentation, testing, training, visualize

__all__ = [
    "Switches",
    "Tensor",
    "__version__",
    "algorithm",
    "arange",
    "cat",
    "concatenate",
    "data",
    "default_device",
    "detect_anomaly",
    "empty",
    "enable_grad",
    "engine",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "functional",
    "get_algorithm",
    "get_default_device",
    "get_precision",
    "get_xp",
    "grad",
    "inference",
    "is_grad_enabled",
    "linspace",
    "log_softmax",
    "manual_seed",
    "matmul",
    "maximum",
    "minimum",
    "models",
    "nn",
    "no_grad",
    "ones",
    "ones_like",
    "ops",
    "optim",
    "precision",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "relu",
    "segmentation",
    "set_algorithm",
    "set_default_device",
    "set_grad_enabled",
    "set_precision",
    "sigmoid",
    "softmax",
    "stack",
    "synchronize",
    "tanh",
    "tensor",
    "testing",
    "training",
    "use_compiled",
    "visualize",
    "where",
    "zeros",
    "zeros_like",
]

# Rooms that a program with only Tensors does not need; they are imported when first named.
_LATER = frozenset({"data", "models", "segmentation", "testing", "training", "visualize"})


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return importlib.import_module(f"minideconv.{name}")
    if name in FUNCTIONS:  # methods that can be called as functions, as in PyTorch
        return getattr(Tensor, name)
    if name in DTYPES:
        return DTYPES[name]
    if hasattr(Tensor, name) and name not in INSTEAD[__name__]:
        raise AttributeError(
            f"module 'minideconv' has no attribute {name!r}; tensors have a method of that name: "
            f"x.{name}(...)"
        )
    return refusing(__name__)(name)


# Modules that were files elsewhere before they got a room, under the names the documentation gave;
# and `functional` where PyTorch has it.
sys.modules.update(
    {
        "minideconv.algorithms": algorithms,
        "minideconv.nn.functional": functional,
        "minideconv.parallel": parallel,
        "minideconv.precisions": precisions,
        "minideconv.engine.memory": engine.memory,
        "minideconv.engine.table": engine.table,
    }
)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *FUNCTIONS, *DTYPES})
