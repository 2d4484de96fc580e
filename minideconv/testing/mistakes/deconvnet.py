"""Wrong versions of the tiny DeconvNet: mistakes of its layers in some of their places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product

import numpy as np

# The mistakes of these are those of the network's layers.
from minideconv.testing.mistakes import (  # noqa: F401
    conv2d,
    conv_transpose2d,
    max_pool2d,
    max_pool2d_maxima,
    max_pool2d_switches,
    max_unpool2d,
)
from minideconv.testing.mistakes.bank import Mistake, Right, given, mistake, mistakes
from minideconv.testing.mistakes.network import (
    BOTH,
    RELUS,
    Layer,
    Placed,
    behind,
    in_places,
    in_size,
    put,
    scores,
)
from minideconv.testing.operations.deconvnet_layers import (
    convolved,
    pooled,
    scatter,
    spread,
    transposed,
)
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

OP, OUT = "deconvnet", "scores"
CONVS, TCONVS = (tuple(tuple(p.format(k) for p in places) for places in BOTH)
                 for k in ("conv", "tconv"))  # fmt: skip
ALL = (*CONVS[-1], *TCONVS[-1])


def _way(layers: Mapping[str, Layer], place: str) -> Placed:
    return Placed(OUT, place, lambda arrays, settings: {OUT: scores(arrays, layers)})


def _of(operation: str, output: str, name: str) -> Mistake:
    return next(m for m in mistakes(operation, output) if m.name == name)


# Convolutions -------------------------------------------------------------------------------

CONVOLVED = (
    ("kernel flipped", "wv"),
    ("kernel transposed", "wv"),
    ("bias left out", "bc"),
    ("bias added twice", "bc"),
    ("bias subtracted", "bc"),
)
"""Mistakes of a convolution's arguments, and the letters of the parameters that they touch."""


def _given_wrong(wrong: Mistake, layer: Callable[[Array, Array, Array], Array]) -> Layer:
    """Return the layer with changed arguments."""
    settings = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}

    def changed(x: Array, w: Array, b: Array) -> Array:
        assert wrong.change is not None
        arrays, _ = wrong.change({"x": x, "w": w, "b": b}, settings)
        return layer(*(given(arrays, role) for role in ("x", "w", "b")))

    return changed


for _name, _letters in CONVOLVED:
    _conv, _tconv = (_of(op, "y", _name) for op in ("conv2d", "conv_transpose2d"))
    _wrong = {"conv": _given_wrong(_conv, convolved), "tconv": _given_wrong(_tconv, transposed)}
    _said = " ".join(dict.fromkeys((_conv.sentence, _tconv.sentence)))
    put(OP, OUT, _name, _said if len(_said) <= 200 else _tconv.sentence, [
        _way({p: _wrong[p.split()[0]] for p in places}, in_places(places, _letters))
        for places in (*CONVS, *TCONVS, ALL)
    ])  # fmt: skip


def _unpadded(x: Array, w: Array, b: Array) -> Array:
    if min(x.shape[2:]) < 2:
        raise ValueError("negative dimensions")
    return convolved(x, w, b)[:, :, 1:-1, 1:-1]


def _uncropped(x: Array, w: Array, b: Array) -> Array:
    return spread(x, w) + b[:, None, None]


PADDED = (("tconv 2",), ("conv 1", "tconv 2"), ("conv 2", "tconv 1"), ALL)
"""Places of padding forgotten in which the sizes fit together."""
_WITHOUT = {"conv": _unpadded, "tconv": _uncropped}
put(OP, OUT, "padding forgotten",
    "All convolutions have padding 1, so that they keep the size; the transposed ones crop by it.",
    [
        _way({p: _WITHOUT[p.split()[0]] for p in places}, in_places(places))
        for places in (*CONVS, *PADDED)
    ])  # fmt: skip


# Poolings -----------------------------------------------------------------------------------

POOLED = (
    "last maximum in place of the first",
    "minimum in place of the maximum",
    "first pixel of each window",
    "mean in place of the maximum",
    "switches count within the window",
    "the window's first row and column not added",
    "switches with the height as the row's length",
    "switches with the output's width as the row's length",
)
UNPOOLED = {
    "switches ignored": "switches ignored: the windows' top left pixel",
    **{
        name: name
        for name in (
            "switches of the first image used for all",
            "switches of the first channel used for all",
            "switches read column by column",
            "switches read with the height as the row's length",
        )
    },
}
"""Names of mistakes of the network, and their names among those of unpooling."""


def _pooling(name: str) -> Layer:
    """Return a pooling with a mistake in its maxima, its switches, or both."""
    found = {m.output: m for m in reversed(mistakes("max_pool2d")) if m.name == name}
    settings = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)}

    def layer(x: Array) -> tuple[Array, Array]:
        y, switches = pooled(x)
        wrong = {out: np.asarray(m.values({"x": x}, settings)) for out, m in found.items()}
        return wrong.get("y", y), wrong.get("switches", switches)

    return layer


def _unpooling(name: str) -> Layer:
    wrong = _of("max_unpool2d", "x", name)

    def layer(y: Array, switches: Array, size: Sequence[int]) -> Array:
        arrays: Arrays = {"y": y, "switches": switches}
        return np.asarray(wrong.values(arrays, {"size": tuple(size)}))

    return layer


def _repeated(y: Array, switches: Array, size: Sequence[int]) -> Array:
    """Fill each window of 2 x 2; what it leaves over of an odd size is 0."""
    return in_size(y.repeat(2, axis=2).repeat(2, axis=3), size)


def _put_pooling(word: str, name: str, sentence: str, layer: Layer) -> None:
    sets = [tuple(p.format(word) for p in places) for places in BOTH]
    put(OP, OUT, name, sentence, [
        _way(dict.fromkeys(places, layer), in_places(places)) for places in sets
    ])  # fmt: skip


for _name in POOLED:
    _sentence = next(m.sentence for m in mistakes("max_pool2d") if m.name == _name)
    _put_pooling("pool", _name, _sentence, _pooling(_name))
for _name, _known in UNPOOLED.items():
    _put_pooling("unpool", _name, _of("max_unpool2d", "x", _known).sentence, _unpooling(_known))


_put_pooling("unpool", "unpooled by repeating values",
             "Each value fills its window; unpooling puts it at its switch, 0 around it.",
             _repeated)  # fmt: skip


def _twice(y: Array, switches: Array, size: Sequence[int], cut: bool, flat: bool) -> Array:
    """Unpool to twice the size of y: a switch is cut into row and column first, or taken as is."""
    if cut:
        h, w = (min(a, b) for a, b in zip(y.shape[2:], switches.shape[2:], strict=True))
        y, switches = y[:, :, :h, :w], switches[:, :, :h, :w]
    rows, columns = 2 * y.shape[2], 2 * y.shape[3]
    if flat:
        return scatter(y, switches, (rows, columns))
    return scatter(y, switches, size)[:, :, :rows, :columns]


put(OP, OUT, "unpooled to twice the pooled size",
    "Pooling rounds an odd size down, so that twice its result is one too few: unpool to the size "
    "that the pooling was given.",
    [
        _way({p: partial(_twice, cut=cut, flat=flat) for p in places}, in_places(places))
        for places in (("unpool 1", "unpool 2"), ("unpool 1",), ("unpool 2",))
        for cut, flat in product((False, True), repeat=2)
    ])  # fmt: skip


# ReLUs --------------------------------------------------------------------------------------

put(OP, OUT, "ReLU left out", "A ReLU stands behind every layer but the last.", [
    _way({f"relu {n}": np.asarray for n in numbers}, behind(numbers)) for numbers in RELUS
])  # fmt: skip


@mistake(OP, OUT, "image's negative numbers cut off",
         "The image is passed through a ReLU; the first one stands behind the first "
         "convolution.")  # fmt: skip
def _image_cut_off(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return right({**arrays, "x": np.maximum(given(arrays, "x"), 0)}, settings)


@mistake(OP, OUT, "ReLU behind the scores",
         "Negative scores are set to 0; there is no ReLU behind the last layer.")  # fmt: skip
def _relu_of_scores(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return np.maximum(right(arrays, settings), 0)


def _logs(scores: Array) -> Array:
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs


for _name, _after in (
    ("softmax behind the scores", lambda s: np.exp(_logs(s))),
    ("logarithm of the softmax behind the scores", _logs),
    ("sigmoid behind the scores", lambda s: np.exp(-np.logaddexp(0, -s))),
):

    @mistake(OP, OUT, _name,
             "The scores are the last layer's result as it is; the softmax belongs to the loss.",
             )  # fmt: skip
    def _behind(
        arrays: Arrays,
        settings: Settings,
        right: Right,
        after: Callable[[Array], Array] = _after,
    ) -> Array:
        return np.asarray(after(right(arrays, settings)))
