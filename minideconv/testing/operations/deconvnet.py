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
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minideconv.testing.arrays import as_numpy
from minideconv.testing.drawing import Integer
from minideconv.testing.faults import StudentFault
from minideconv.testing.geometry import Pair
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
    "PARAMETERS",
    "TRAIN",
    "Forward",
    "TinyGeometry",
    "backward",
    "convolved",
    "entropy",
    "forward",
    "gather",
    "in_one",
    "pooled",
    "scatter",
    "transposed",
]

PARAMETERS = ("w1", "b1", "w2", "b2", "v2", "c2", "v1", "c1")
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


# The layers, window by window ---------------------------------------------------------------


def convolved(x: Array, w: Array, b: Array) -> Array:
    """Convolve with 3 x 3 kernels and padding 1."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = np.zeros((len(x), len(w), *x.shape[2:]))
    for i, j in np.ndindex(*x.shape[2:]):
        y[:, :, i, j] = np.tensordot(padded[:, :, i : i + 3, j : j + 3], w, ([1, 2, 3],) * 2) + b
    return y


def _conv_gradients(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    dpadded, dw = np.zeros(padded.shape), np.zeros(w.shape)
    for i, j in np.ndindex(*x.shape[2:]):
        window = np.s_[:, :, i : i + 3, j : j + 3]
        dpadded[window] += np.tensordot(dy[:, :, i, j], w, 1)
        dw += np.tensordot(dy[:, :, i, j].T, padded[window], 1)
    return dpadded[:, :, 1:-1, 1:-1], dw, dy.sum((0, 2, 3))


def transposed(x: Array, w: Array, b: Array) -> Array:
    """Convolve transposed with 3 x 3 kernels and padding 1."""
    n, _, h, wide = x.shape
    padded = np.zeros((n, w.shape[1], h + 2, wide + 2))
    for i, j in np.ndindex(h, wide):
        padded[:, :, i : i + 3, j : j + 3] += np.tensordot(x[:, :, i, j], w, 1)
    return padded[:, :, 1:-1, 1:-1] + b[:, None, None]


def _transposed_gradients(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    padded = np.pad(dy, ((0, 0), (0, 0), (1, 1), (1, 1)))
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for i, j in np.ndindex(*x.shape[2:]):
        window = padded[:, :, i : i + 3, j : j + 3]
        dx[:, :, i, j] = np.tensordot(window, w, ([1, 2, 3],) * 2)
        dw += np.tensordot(x[:, :, i, j].T, window, 1)
    return dx, dw, dy.sum((0, 2, 3))


def pooled(x: Array) -> tuple[Array, Array]:
    """Return the maxima of windows of 2 x 2, and their switches."""
    n, c, h, w = x.shape
    switches = np.zeros((n, c, h // 2, w // 2), np.int64)
    for i, j in np.ndindex(h // 2, w // 2):
        first = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(n, c, 4).argmax(2)
        switches[:, :, i, j] = (2 * i + first // 2) * w + 2 * j + first % 2
    return gather(x, switches), switches


def gather(x: Array, switches: Array) -> Array:
    """Return the pixels at the switches."""
    flat = np.take_along_axis(
        x.reshape(*x.shape[:2], -1), switches.reshape(*switches.shape[:2], -1), 2
    )
    return flat.reshape(switches.shape)


def scatter(y: Array, switches: Array, size: Sequence[int]) -> Array:
    """Put each value at its switch; windows of 2 x 2 do not overlap, so none meets another."""
    flat = np.zeros((*y.shape[:2], size[0] * size[1]))
    np.put_along_axis(flat, switches.reshape(*y.shape[:2], -1), y.reshape(*y.shape[:2], -1), axis=2)
    return flat.reshape(*y.shape[:2], *size)


class Forward(NamedTuple):
    """What the layers gave: what each convolution was given, and what chose."""

    x: Array
    mask1: Array
    switches1: Array
    p1: Array
    mask2: Array
    switches2: Array
    u2: Array
    mask3: Array
    u1: Array
    scores: Array


def forward(a: Arrays, chosen: Forward | None = None) -> Forward:
    """Return what the layers give; with `chosen`, its masks and switches are used."""
    x, w1, b1, w2, b2, v2, c2, v1, c1 = (_given(a, role) for role in ("x", *PARAMETERS))
    e1 = convolved(x, w1, b1)
    mask1 = e1 > 0 if chosen is None else chosen.mask1
    switches1 = pooled(e1 * mask1)[1] if chosen is None else chosen.switches1
    p1 = gather(e1 * mask1, switches1)
    e2 = convolved(p1, w2, b2)
    mask2 = e2 > 0 if chosen is None else chosen.mask2
    switches2 = pooled(e2 * mask2)[1] if chosen is None else chosen.switches2
    u2 = scatter(gather(e2 * mask2, switches2), switches2, e2.shape[2:])
    d2 = transposed(u2, v2, c2)
    mask3 = d2 > 0 if chosen is None else chosen.mask3
    u1 = scatter(d2 * mask3, switches1, x.shape[2:])
    scores = transposed(u1, v1, c1)
    return Forward(x, mask1, switches1, p1, mask2, switches2, u2, mask3, u1, scores)


def backward(dscores: Array, a: Arrays, f: Forward) -> tuple[Array, ...]:
    """Return the gradients of the parameters, in order."""
    w2, v2, v1 = (_given(a, role) for role in ("w2", "v2", "v1"))
    du1, dv1, dc1 = _transposed_gradients(dscores, f.u1, v1)
    dd2 = gather(du1, f.switches1) * f.mask3
    du2, dv2, dc2 = _transposed_gradients(dd2, f.u2, v2)
    de2 = scatter(gather(du2, f.switches2), f.switches2, f.mask2.shape[2:]) * f.mask2
    dp1, dw2, db2 = _conv_gradients(de2, f.p1, w2)
    de1 = scatter(dp1, f.switches1, f.mask1.shape[2:]) * f.mask1
    _, dw1, db1 = _conv_gradients(de1, f.x, _given(a, "w1"))
    return dw1, db1, dw2, db2, dv2, dc2, dv1, dc1


def entropy(scores: Array, labels: Array) -> tuple[float, Array]:
    """Return the mean cross entropy and its gradient."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    right = labels[:, None] == np.arange(scores.shape[1])[:, None, None]
    count = labels.size
    return float(-logs[right.nonzero()].sum() / count), (np.exp(logs) - right) / count


def _given(arrays: Arrays, role: str) -> Array:
    array = arrays[role]
    assert array is not None
    return array


def _absolute(arrays: Arrays) -> Arrays:
    return {r: np.abs(a) if a is not None and a.dtype.kind == "f" else a for r, a in arrays.items()}


# The operations -----------------------------------------------------------------------------


def _scores(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    right = forward(arrays)
    return {"scores": Expected(right.scores, forward(_absolute(arrays), right).scores)}


def _gradients(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    right, sizes = forward(arrays), _absolute(arrays)
    values = backward(_given(arrays, "dscores"), arrays, right)
    terms = backward(_given(sizes, "dscores"), sizes, forward(sizes, right))
    return {
        f"d{name}": Expected(value, term)
        for name, value, term in zip(PARAMETERS, values, terms, strict=True)
    }


def _entropy(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    scores, labels = _given(arrays, "scores"), _given(arrays, "labels")
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
        _, dscores = entropy(right.scores, _given(arrays, "labels"))
        for name, gradient in zip(PARAMETERS, backward(dscores, now, right), strict=True):
            now[name] = _given(now, name) - settings["rate"] * gradient
    parameters = in_one(_given(now, name) for name in PARAMETERS)
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
        shape = _given(arrays, name).shape
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
        shapes = [_given(arrays, name).shape for name in PARAMETERS]
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])[:-1]
        parts = np.split(flat, ends)
        return tuple(part.reshape(s) for part, s in zip(parts, shapes, strict=True))

    return {"train": train}


def draw(integer: Integer) -> TinyGeometry:
    """Draw small sizes."""
    exact = integer(0, 1) == 0
    height = 4 * integer(1, 2) if exact else integer(4, 7)
    width = 4 * integer(1, 2) if exact else integer(4, 7)
    batch, channels, first, second = (integer(1, 2) for _ in range(4))
    return TinyGeometry(batch, channels, (height, width), first, second, classes=2)


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
    return _given(dict(case.arrays), "draws").argmax(axis=1)


def _entropy_arguments(case: Case) -> tuple[Arrays, Settings]:
    return {"scores": case.arrays["scores"], "labels": _labels(case)}, {}


def _train_arguments(case: Case) -> tuple[Arrays, Settings]:
    free = {role: a for role, a in case.arrays.items() if role != "draws"}
    arrays: Arrays = {"x": free.pop("x"), "labels": _labels(case), **free}
    return arrays, {"steps": 2, "rate": 0.25}


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
    **{**_COMMON, "sizes": ("large mean", "large scale", "tiny scale", "constant")},
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
    kinds=("normal",),
    exact=False,
    **{**_COMMON, "settings": ("steps", "rate")},
)
