"""minideconv: segmentation networks that learn their upsampling, from scratch on NumPy and CuPy."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from minideconv.settings import starting

starting.begin()  # before the imports that take long

from minideconv import engine, functional, nn, ops, optim
from minideconv._version import __version__
from minideconv.autograd import Tensor, detect_anomaly, grad, is_grad_enabled, no_grad
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
from minideconv.ops.switches import Switches
from minideconv.random import manual_seed

if TYPE_CHECKING:
    from minideconv import data, models, segmentation, testing, training, visualize

__all__ = [
    "Switches",
    "Tensor",
    "__version__",
    "algorithm",
    "data",
    "default_device",
    "detect_anomaly",
    "engine",
    "functional",
    "get_algorithm",
    "get_default_device",
    "get_precision",
    "get_xp",
    "grad",
    "is_grad_enabled",
    "manual_seed",
    "models",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "precision",
    "segmentation",
    "set_algorithm",
    "set_default_device",
    "set_precision",
    "synchronize",
    "testing",
    "training",
    "use_compiled",
    "visualize",
]

# Rooms that a program with only Tensors does not need; they are imported when first named.
_LATER = frozenset({"data", "models", "segmentation", "testing", "training", "visualize"})


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return importlib.import_module(f"minideconv.{name}")
    raise AttributeError(f"module 'minideconv' has no attribute {name!r}")


# Modules that were files elsewhere before they got a room, under the names the documentation gave.
sys.modules.update(
    {
        "minideconv.algorithms": algorithms,
        "minideconv.parallel": parallel,
        "minideconv.precisions": precisions,
        "minideconv.engine.memory": engine.memory,
        "minideconv.engine.table": engine.table,
    }
)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
