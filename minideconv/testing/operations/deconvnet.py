"""A tiny DeconvNet and its training: naive loops, formulas, families.

    x (N, C, H, W)
    conv 3 x 3, w1 (A, C, 3, 3), b1; ReLU; pool 2 x 2 with switches s1
    conv 3 x 3, w2 (B, A, 3, 3), b2; ReLU; pool 2 x 2 with switches s2
    unpool at s2; transposed conv 3 x 3, v2 (B, A, 3, 3), c2; ReLU
    unpool at s1; transposed conv 3 x 3, v1 (A, K, 3, 3), c1  ->  scores (N, K, H, W)

All convolutions have padding 1, so they keep the size. Ties of a pooling go to the first pixel, and
ReLU's gradient at 0 is 0, as in the layers' own contracts.

`train` is compared after two steps on numbers without ties, where all that was added in another
order is still within some thousand rounding errors.
Source: Noh, Hong and Han, Learning deconvolution network for semantic segmentation, 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minideconv.testing.arrays import as_numpy
from minideconv.testing.drawing import Integer
from minideconv.testing.faults import StudentFault
from minideconv.testing.geometry import Pair
from minideconv.testing.operations.deconvnet_layers import (
    PARAMETERS,
    backward,
    entropy,
    forward,
    given,
)
from minideconv.testing.operations.operation import (
    Array,
    Arrays,
    Case,
    Expected,
    Functions,
    Operation,
    Settings,
)

__all__ = [
    "CROSS_ENTROPY",
    "DECONVNET",
    "DECONVNET_BACKWARD",
    "TRAIN",
    "TinyGeometry",
    "in_one",
]

FAMILIES = ("size-multiple-of-4", "size-remainder")


@dataclass(frozen=True, slots=True)
class TinyGeometry:
    """Sizes of one call; what pooling twice would leave nothing of is refused."""

    batch: int
    channels: int
    size: Pair
    first: int
    second: int
    classes: int

    def __post_init__(self) -> None:
        if min(self.size) < 4:
            raise ValueError(f"TinyGeometry: no window is left of the image: {self}")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the image and of the parameters."""
        c, a, b, k = self.channels, self.first, self.second, self.classes
        return {
            "x": (self.batch, c, *self.size),
            "w1": (a, c, 3, 3), "b1": (a,), "w2": (b, a, 3, 3), "b2": (b,),
            "v2": (b, a, 3, 3), "c2": (a,), "v1": (a, k, 3, 3), "c1": (k,),
        }  # fmt: skip

    @property
    def scores(self) -> tuple[int, ...]:
        """Shape of the scores."""
        return (self.batch, self.classes, *self.size)


def _absolute(arrays: Arrays) -> Arrays:
    return {r: np.abs(a) if a is not None and a.dtype.kind == "f" else a for r, a in arrays.items()}


# The operations -----------------------------------------------------------------------------


def _scores(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    right = forward(arrays)
    return {"scores": Expected(right.scores, forward(_absolute(arrays), right).scores)}


def _gradients(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    right, sizes = forward(arrays), _absolute(arrays)
    values = backward(given(arrays, "dscores"), arrays, right)
    terms = backward(given(sizes, "dscores"), sizes, forward(sizes, right))
    return {
        f"d{name}": Expected(value, term)
        for name, value, term in zip(PARAMETERS, values, terms, strict=True)
    }


def _entropy(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    scores, labels = given(arrays, "scores"), given(arrays, "labels")
    loss, gradient = entropy(scores, labels)
    size = np.abs(scores).max() + 1
    return {
        "loss": Expected(np.asarray(loss), np.asarray(size)),
        "dscores": Expected(gradient, np.full(gradient.shape, size / labels.size)),
    }


_LATER = 1e4
"""Rounding errors that a parameter may carry after two steps, in units of those of one sum."""


def _trained(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    now = dict(arrays)
    for _ in range(settings["steps"]):
        right = forward(now)
        _, dscores = entropy(right.scores, given(arrays, "labels"))
        for name, gradient in zip(PARAMETERS, backward(dscores, now, right), strict=True):
            now[name] = given(now, name) - settings["rate"] * gradient
    parameters = in_one(given(now, name) for name in PARAMETERS)
    return {"parameters": Expected(parameters, _LATER * (np.abs(parameters) + 1))}


def in_one(parameters: Iterable[Any]) -> Array:
    """Return the numbers of all parameters, in order, in one array without further axes."""
    return np.concatenate([as_numpy(each).ravel() for each in parameters])


def _run_training(functions: Functions, arrays: Arrays, settings: Settings) -> Sequence[Any]:
    result = functions["train"](*(arrays[role] for role in TRAIN.arguments), **settings)
    names = f"({', '.join(PARAMETERS)})"
    if not isinstance(result, (tuple, list)) or len(result) != len(PARAMETERS):
        what = (
            f"{len(result)} values" if isinstance(result, (tuple, list)) else type(result).__name__
        )
        raise StudentFault("returned", f"train returned {what}; it must return {names}")
    for name, each in zip(PARAMETERS, result, strict=True):
        shape = given(arrays, name).shape
        if tuple(getattr(each, "shape", ())) != shape:
            raise StudentFault("returned", f"train returned {name} of another shape than {shape}")
    return (in_one(result),)


def _run_entropy(functions: Functions, arrays: Arrays, settings: Settings) -> Sequence[Any]:
    result = functions["cross_entropy"](arrays["scores"], arrays["labels"])
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], float):
        return np.asarray(result[0]), result[1]  # a plain number is as good as an array of one
    pair: Sequence[Any] = result
    return pair


def _training_functions(outputs: Callable[[Arrays, Settings], Sequence[Array]]) -> Functions:
    """Return what has the contract's signature and gives these outputs."""

    def train(*args: Array, **settings: Any) -> tuple[Array, ...]:
        arrays: Arrays = dict(zip(TRAIN.arguments, args, strict=True))
        (flat,) = outputs(arrays, settings)
        shapes = [given(arrays, name).shape for name in PARAMETERS]
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])[:-1]
        parts = np.split(flat, ends)
        return tuple(part.reshape(s) for part, s in zip(parts, shapes, strict=True))

    return {"train": train}


def _first_wrong(
    _output: str,
    g: TinyGeometry,
    got: Array,
    want: Expected,
    right: Callable[[Expected, Array], bool],
) -> tuple[str, Array, Expected]:
    """Return the first wrong parameter, in the order of backward: its name and its numbers."""
    ends = np.cumsum([np.prod(g.shapes[name], dtype=int) for name in PARAMETERS])[:-1]
    mine, values, terms = (np.split(a, ends) for a in (got, want.value, want.terms))
    parts = {}
    for i, name in enumerate(PARAMETERS):
        m, v, t = (each[i].reshape(g.shapes[name]) for each in (mine, values, terms))
        parts[name] = m, Expected(v, t)
    order = [output.removeprefix("d") for output in DECONVNET_BACKWARD.order]
    name = next((n for n in order if not right(parts[n][1], parts[n][0])), order[0])
    return name, *parts[name]


def draw(integer: Integer) -> TinyGeometry:
    """Draw small sizes."""
    exact = integer(0, 1) == 0
    height = 4 * integer(1, 2) if exact else integer(4, 7)
    width = 4 * integer(1, 2) if exact else integer(4, 7)
    batch, channels, first, second = (integer(1, 2) for _ in range(4))
    return TinyGeometry(batch, channels, (height, width), first, second, classes=2)


def _draw_classes(integer: Integer) -> TinyGeometry:
    # With two classes p of one is 1 - p of the other: much that is wrong looks alike.
    return replace(draw(integer), classes=integer(2, 3))


def family(g: TinyGeometry) -> str:
    """Say whether both poolings reach every pixel."""
    return FAMILIES[any(n % 4 for n in g.size)]


def telling(g: TinyGeometry) -> bool:
    """Return whether no two numbers that could be mistaken for each other are equal."""
    return min(g.batch, g.channels, g.first, g.second) > 1 and g.size[0] != g.size[1]


def _plain(case: Case) -> tuple[Arrays, Settings]:
    return dict(case.arrays), {}


def _labels(case: Case) -> Array:
    """Return a class for each pixel: which of its drawn numbers is the largest."""
    return given(dict(case.arrays), "draws").argmax(axis=1)


def _entropy_arguments(case: Case) -> tuple[Arrays, Settings]:
    return {"scores": case.arrays["scores"], "labels": _labels(case)}, {}


def _train_arguments(case: Case) -> tuple[Arrays, Settings]:
    free = {role: a for role, a in case.arrays.items() if role != "draws"}
    arrays: Arrays = {"x": free.pop("x"), "labels": _labels(case), **free}
    steps = 1 + (case.geometry.batch + case.geometry.first + case.geometry.second) % 2
    return arrays, {"steps": steps, "rate": 0.25}


def _backward_shapes(g: TinyGeometry) -> dict[str, tuple[int, ...]]:
    return {"dscores": g.scores, **g.shapes}


def _rule(name: str) -> str:
    return f"d{name} = Σ over all paths from {name} to the scores of the product of their slopes"


_NETWORK = (
    "p1,s1 = pool relu conv1 x; p2,s2 = pool relu conv2 p1; "
    "scores = conv1ᵀ unpool(relu conv2ᵀ unpool(p2,s2), s1)"
)
_COMMON: dict[str, Any] = {
    "settings": (),
    "families": FAMILIES,
    "geometry": TinyGeometry,
    "draw": draw,
    "family": family,
    "telling": telling,
    # Rounding may decide which of two nearly equal pixels a pooling takes; all then differs.
    "sizes": (),
}

DECONVNET = Operation(
    name="deconvnet",
    arguments=("x", *PARAMETERS),
    outputs=("scores",),
    rules={"scores": _NETWORK},
    shapes=lambda g: g.shapes,
    call_arguments=_plain,
    oracle=_scores,
    **_COMMON,
)

DECONVNET_BACKWARD = Operation(
    name="deconvnet_backward",
    arguments=("dscores", "x", *PARAMETERS),
    outputs=tuple(f"d{name}" for name in PARAMETERS),
    order=("dc1", "dv1", "dc2", "dv2", "db2", "dw2", "db1", "dw1"),
    rules={f"d{name}": _rule(name) for name in PARAMETERS},
    shapes=_backward_shapes,
    call_arguments=_plain,
    oracle=_gradients,
    **_COMMON,
)

CROSS_ENTROPY = Operation(
    name="cross_entropy",
    arguments=("scores", "labels"),
    outputs=("loss", "dscores"),
    rules={
        "loss": "loss = −1/P·Σ log p[n,label,i,j], p = exp(s)/Σ_k exp(s), P = N·H·W",
        "dscores": "dscores[n,k,i,j] = (p[n,k,i,j] − [k = label])/P, P = N·H·W",
    },
    shapes=lambda g: {"scores": g.scores, "draws": g.scores},
    call_arguments=_entropy_arguments,
    oracle=_entropy,
    run=_run_entropy,
    kinds=("normal",),
    exact=False,
    **{
        **_COMMON,
        "draw": _draw_classes,
        "sizes": ("large mean", "large scale", "tiny scale", "constant"),
    },
)

TRAIN = Operation(
    name="train",
    arguments=("x", "labels", *PARAMETERS),
    outputs=("parameters",),
    rules={"parameters": "parameter = parameter − rate·gradient, `steps` times"},
    run=_run_training,
    functions=_training_functions,
    shapes=lambda g: {"draws": g.scores, **g.shapes},
    call_arguments=_train_arguments,
    oracle=_trained,
    part=_first_wrong,
    kinds=("normal",),
    exact=False,
    **{**_COMMON, "settings": ("steps", "rate")},
)
