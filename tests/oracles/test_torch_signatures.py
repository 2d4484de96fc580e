"""What stands in one place in PyTorch and means something else here is refused, never misread.

The signatures of both libraries are compared place by place. Where the names in a place differ and
do not mean the same (`SAME`), a call with what PyTorch's users write there (`WRITTEN`) must raise.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from public_calls import CALLS, LAYERS, METHODS, SCHEDULES, optimizer, tensors

import minideconv as md
from minideconv import Tensor, nn, no_grad, optim
from minideconv import functional as F
from minideconv.nn import init

pytestmark = pytest.mark.cpu  # names

# Ours and PyTorch's names of one thing.
SAME = {
    ("a", "input"), ("a", "lambd"), ("array", "ndarray"), ("axis", "dim"), ("axis1", "axis0"),
    ("axis2", "axis1"), ("b", "mat2"), ("b", "other"), ("b", "tensor2"), ("columns", "m"),
    ("grad", "gradient"), ("high", "b"), ("high", "to"), ("keepdims", "keepdim"),
    ("logits", "input"), ("low", "a"), ("low", "from"), ("maximum", "max"), ("metric", "metrics"),
    ("minimum", "min"), ("return_switches", "return_indices"), ("rng", "generator"), ("rows", "n"),
    ("size", "split_size"), ("start", "start_dim"), ("stop", "end_dim"), ("switches", "indices"),
    ("total_iters", "T_max"), ("value", "other"), ("value", "src"), ("value", "val"),
    ("x", "input"),
}  # fmt: skip

# What is written in PyTorch's places, by the name that they have there.
WRITTEN: dict[str, list[Any]] = {
    "a": [0, 0.2, 5**0.5], "affine": [True], "beta": [1.0], "ceil_mode": [True], "closure": [],
    "dtype": ["float64"], "gain": [1.0, 2**0.5], "generator": [], "ignore_index": [255, -100],
    "indices": [np.zeros((1, 1, 2, 2))], "inplace": [True, False], "kernel_size": [2],
    "last_epoch": [-1, 10], "mode": ["fan_in"], "momentum": [0.1], "nonlinearity": ["relu"],
    "norm_type": [2.0], "padding": [0], "reduce": [True, False], "reduction": ["sum"],
    "running_mean": [np.zeros(4)], "running_var": [np.ones(4)], "size_average": [True, False],
    "stride": [2], "label_smoothing": [0.1], "pos_weight": [np.ones(4)], "weight": [np.ones(4)],
    "bias": [np.zeros(4)], "epoch": [3], "retain_graph": [True], "_stacklevel": [3],
    "threshold": [20.0], "divisor_override": [3], "device": ["cpu"], "output_size": [(4, 4)],
    "non_blocking": [True], "recompute_scale_factor": [True], "antialias": [True],
    "foreach": [True], "error_if_nonfinite": [True], "padding_mode": ["zeros"],
}  # fmt: skip
NO_OPTION = {"args", "kwargs", "memory_format", "out"}


def places(function: Callable[..., Any]) -> list[str] | None:
    """Return the names of the positional arguments, of a built-in one as its documentation says."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(function).parameters.values()
        if all(p.kind is not p.VAR_POSITIONAL for p in parameters):
            return [p.name for p in parameters if p.kind in kinds and p.name != "self"]
        if any(p.kind is p.VAR_POSITIONAL and p.name == "others" for p in parameters):
            return [p.name for p in parameters if p.kind in kinds]
    except ValueError:
        pass
    first = re.match(r"\w+\((.*)\) ->", (function.__doc__ or "").strip().replace("\\*", "*"))
    if not first or "*" in first[1].split(",")[0]:
        return None
    named = first[1].partition("*")[0]
    return [part.partition("=")[0].strip() for part in named.split(",") if part.strip()]


def on_tensor(name: str) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        with no_grad():
            return getattr(tensors(3, 4), name)(*arguments)

    return call


def pairs(torch: Any) -> Iterator[tuple[str, Any, tuple[Any, ...], Any, Any]]:
    """Yield (name, function to call, a legal call, our signature, PyTorch's)."""
    for name, given in LAYERS.items():
        if hasattr(torch.nn, name):
            layer = getattr(nn, name)
            theirs = getattr(torch.nn, name).__init__
            yield f"nn.{name}", layer, given, layer.__init__, theirs
    for name in init.__all__:
        if hasattr(torch.nn.init, name):
            given = (tensors(4, 4), 1.0) if name == "constant_" else (tensors(4, 4),)
            function = getattr(init, name)
            yield f"init.{name}", function, given, function, getattr(torch.nn.init, name)
    for name, (given, _) in CALLS.items():
        theirs = getattr(torch.nn.functional, name, None)
        if theirs is not None and name != "max_pool2d":  # dispatched: no signature
            function = getattr(F, name)
            yield f"F.{name}", function, tuple(given), function, theirs
    for name, given in METHODS.items():
        theirs = getattr(torch.Tensor, name, None)
        if callable(theirs) and name != "size":
            yield f"Tensor.{name}", on_tensor(name), given, getattr(Tensor, name), theirs
    for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad"):
        kind = getattr(optim, name)
        given = ([nn.Parameter(np.ones(2))], 0.1)
        yield f"optim.{name}", kind, given, kind.__init__, getattr(torch.optim, name).__init__
    for name, given in SCHEDULES.items():
        theirs = getattr(torch.optim.lr_scheduler, name, None)
        if theirs is not None:
            kind = getattr(optim, name)
            yield f"optim.{name}", kind, (optimizer(), *given), kind.__init__, theirs.__init__
    for name in ("clip_grad_norm_", "clip_grad_value_"):
        theirs = getattr(torch.nn.utils, name)
        yield name, getattr(nn.utils, name), ([], 1.0), getattr(nn.utils, name), theirs
    yield "grad", md.grad, (), md.grad, torch.autograd.grad


def differing() -> Iterator[Any]:
    if find_spec("torch") is None:  # the fixture says so
        return
    for name, function, given, ours, theirs in pairs(importlib.import_module("torch")):
        mine, other = places(ours), places(theirs)
        if mine is None or other is None:
            continue
        if name.startswith("Tensor.") and mine[:1] in (["x"], ["a"]):  # the tensor itself
            mine = mine[1:]
        for place, wanted in enumerate(other):
            here = mine[place] if place < len(mine) else None
            if here == wanted or (here, wanted) in SAME or wanted in NO_OPTION:
                continue
            if here is None and name not in ("Tensor.var", "Tensor.std"):
                continue  # Python counts the arguments
            yield pytest.param(function, given, ours, place, here, wanted, id=f"{name}-{wanted}")


DIFFERING = list(differing())


@pytest.mark.parametrize(("function", "given", "ours", "place", "here", "wanted"), DIFFERING)
@pytest.mark.usefixtures("torch")
def test_pytorchs_argument_is_not_taken_for_another(function, given, ours, place, here, wanted):
    assert wanted in WRITTEN, f"{wanted!r} stands where ours is {here!r}: what is written there?"
    parameters = [p for p in inspect.signature(ours).parameters.values() if p.name != "self"]
    before = (*given, *(p.default for p in parameters[len(given) : place]))[:place]
    for value in WRITTEN[wanted]:
        with pytest.raises((TypeError, ValueError)) as caught:
            function(*before, value, *given[place + 1 :])
        assert "unexpected" not in str(caught.value)


def test_the_comparison_sees_the_differences(torch):
    """What was once taken for another argument is among those compared, or in one place now."""
    found = {parameter.id for parameter in DIFFERING}
    assert {
        "nn.CrossEntropyLoss-size_average",
        "nn.NLLLoss-size_average",
        "nn.Dropout-inplace",
        "init.kaiming_normal_-a",
        "init.xavier_uniform_-gain",
        "F.nll_loss-size_average",
    } <= found
    assert places(nn.MaxPool2d.__init__)[4:] == ["return_switches", "ceil_mode"]
    assert places(nn.InstanceNorm2d.__init__)[:4] == places(torch.nn.InstanceNorm2d.__init__)[:4]
    assert places(md.grad)[:5] == places(torch.autograd.grad)[:5]


def test_pooling_means_what_it_does_in_pytorch(torch):
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 8)).astype(np.float32)
    arguments = (3, 2, 1, 1, False, True)
    ours = nn.MaxPool2d(*arguments)(Tensor(x)).numpy()
    theirs = torch.nn.MaxPool2d(*arguments)(torch.tensor(x)).numpy()
    np.testing.assert_array_equal(ours, theirs)
    norms = [lib.InstanceNorm2d(3, 1e-5, 0.1, True) for lib in (nn, torch.nn)]
    ours, theirs = norms[0](Tensor(x)).numpy(), norms[1](torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
