"""Wrong backwards of the tiny DeconvNet: a rule of a layer that is wrong in one of its places.

A wrong rule makes all gradients wrong that are computed behind it; a mistake is recognised by the
first one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

# The mistakes of these are those of the layers' rules.
from minideconv.testing.mistakes import (  # noqa: F401
    conv2d_backward,
    max_pool2d_backward,
    max_unpool2d_backward,
)
from minideconv.testing.mistakes.bank import given, mistakes, right_outputs
from minideconv.testing.mistakes.network import (
    BOTH,
    RELUS,
    Layer,
    Placed,
    behind,
    gradients,
    in_places,
    in_size,
    put,
)
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.deconvnet_layers import (
    PARAMETERS,
    convolved,
    correlated,
    transposed,
)
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

OP = "deconvnet_backward"
ORDER = OPERATIONS[OP].order
FIRST = {"relu 3": "dc2", "unpool 2": "dc2", "tconv 2": "dc2",
         "relu 2": "db2", "unpool 1": "db2", "tconv 1": "db2", "pool 2": "db2",
         "relu 1": "db1", "conv 2": "db1", "pool 1": "db1",
         "kept 3": "dv1", "kept 2": "dv2", "kept 1": "dw2"}  # fmt: skip
"""The first gradient that a wrong rule makes wrong."""


def _first(places: Sequence[str]) -> str:
    return min((FIRST[p] for p in places), key=ORDER.index)


def _put(
    name: str,
    sentence: str,
    sets: Sequence[Sequence[str]],
    rules: Callable[[str], Layer],
    say: Callable[[Sequence[str]], str] = in_places,
) -> None:
    """Register rules that are wrong in these sets of places, each by its first gradient."""
    lots: dict[str, list[Placed]] = {}
    for places in sets:
        output = _first(places)
        later = ORDER[ORDER.index(output) :]
        lots.setdefault(output, []).append(
            _way(output, later, {p: rules(p) for p in places}, say(places))
        )
    for output, ways in lots.items():
        put(OP, output, name, sentence, ways)


def _way(
    output: str,
    outputs: Sequence[str],
    rules: Mapping[str, Layer],
    place: str,
    layers: Mapping[str, Layer] | None = None,
) -> Placed:
    def wrong(arrays: Arrays, settings: Settings) -> dict[str, Array]:
        found = gradients(arrays, rules, layers)
        return {name: found[name] for name in outputs}

    return Placed(output, place, wrong)


# ReLUs --------------------------------------------------------------------------------------

SETS = tuple(tuple(f"relu {n}" for n in numbers) for numbers in RELUS)


def _passed(dy: Array, before: Array) -> Array:
    return dy


def _of_relus(places: Sequence[str]) -> str:
    return behind("".join(p.split()[1] for p in places))


for _name, _sentence, _rule in (
    ("ReLU's mask forgotten",
     "The gradient passes a ReLU as it is; it passes only where the ReLU's input is positive.",
     _passed),
    ("ReLU's mask of the gradient's own sign",
     "The gradient passes a ReLU where it is positive itself; it passes where the ReLU's input is.",
     lambda dy, before: np.maximum(dy, 0)),
    ("gradient multiplied by the ReLU's result",
     "The gradient is multiplied by what the ReLU gives; its slope is 1 where that is positive.",
     lambda dy, before: dy * np.maximum(before, 0)),
):  # fmt: skip
    _put(_name, _sentence, SETS, lambda place, rule=_rule: rule, _of_relus)  # type: ignore[misc]

put(OP, "db1", "ReLU passes the gradient at 0",
    "The slope of ReLU at 0 is taken to be 1; its gradient is 0 wherever the input is not "
    "positive.",
    # The inputs of the other two are never 0 on the probes.
    [_way("db1", ("db1", "dw1"), {"relu 1": lambda dy, before: dy * (before >= 0)}, "")],
    )  # fmt: skip
_put("map before the ReLU kept",
     "A kernel's gradient is a product with what its layer was given, the map behind the ReLU.",
     [("kept 3",), ("kept 2",), ("kept 1",)],
     lambda place: lambda before, after: before,
     lambda places: f"for {FIRST[places[0]]}")  # fmt: skip


# Poolings and unpoolings --------------------------------------------------------------------

POOLED = (
    "gradient copied to the whole window",
    "gradient shared by the whole window",
    "switches ignored: the windows' top left pixel",
    "switches of the first image used for all",
    "switches of the first channel used for all",
)
UNPOOLED = (
    "maximum of the window in place of the switch's pixel",
    "mean of the window in place of the switch's pixel",
    "sum of the window in place of the switch's pixel",
    *POOLED[2:],
)


def _pooling(name: str) -> Layer:
    wrong = next(m for m in mistakes("max_pool2d_backward", "dx") if m.name == name)

    def rule(dy: Array, switches: Array, x: Array) -> Array:
        # What uses no switches fills windows of 2 x 2, which an odd size leaves a line of.
        size = x.shape[2:] if "switches" in name else tuple(2 * n for n in dy.shape[2:])
        dx = wrong.values({"dy": dy, "switches": switches}, {"size": size})
        return in_size(np.asarray(dx), x.shape[2:])

    return rule


def _unpooling(name: str) -> Layer:
    wrong = next(m for m in mistakes("max_unpool2d_backward", "dy") if m.name == name)

    def rule(dx: Array, switches: Array) -> Array:
        if "switches" not in name:
            dx = dx[:, :, : 2 * switches.shape[2], : 2 * switches.shape[3]]
        return np.asarray(wrong.values({"dx": dx, "switches": switches}, {}))

    return rule


for _word, _names, _made in (("pool", POOLED, _pooling), ("unpool", UNPOOLED, _unpooling)):
    for _name in _names:
        _found = next(m for m in mistakes(f"max_{_word}2d_backward") if m.name == _name)
        _layer = _made(_name)
        _put(_name, _found.sentence,
             [tuple(p.format(_word) for p in places) for places in BOTH],
             lambda place, layer=_layer: layer)  # type: ignore[misc]  # fmt: skip


# Convolutions -------------------------------------------------------------------------------

_FLIP = np.s_[:, :, ::-1, ::-1]


def _with_kernel(place: str, change: Callable[[Array], Array]) -> Layer:
    right = transposed if place == "conv 2" else convolved
    return lambda dy, w: right(dy, change(w))


for _name, _sentence, _change in (
    ("gradient of the input with the kernel flipped",
     "The gradient of a layer's input comes through the kernel turned by 180 degrees once too "
     "often, or not at all: each tap leads back to where it came from.", lambda w: w[_FLIP]),
    ("gradient of the input with the kernel transposed",
     "The gradient of a layer's input comes through the kernel with rows and columns "
     "interchanged.", lambda w: w.swapaxes(2, 3)),
):  # fmt: skip
    _put(_name, _sentence,
         [("conv 2",), ("tconv 1",), ("tconv 2",), ("tconv 1", "tconv 2"),
          ("conv 2", "tconv 1", "tconv 2")],
         lambda place, change=_change: _with_kernel(place, change),  # type: ignore[misc]
         lambda places: "in every layer" if len(places) == 3 else in_places(places, "wv"),
         )  # fmt: skip


# Parameters ---------------------------------------------------------------------------------

LETTERS = ("w", "b", "v", "c", "wb", "vc", "wv", "bc")
"""The letters of parameters whose gradients are wrong together."""
KERNELS, BIASES = PARAMETERS[::2], PARAMETERS[1::2]


_Change = Callable[[Array, Array, int], Array]
"""``change(gradient, x, part)``: `part` is 1, or 2 where the layer's maps are half as large."""


def _put_parameters(name: str, sentence: str, kinds: str, change: _Change) -> None:
    """Register gradients of parameters that are wrong in one, in a kind of layers, or in all."""
    lots: dict[str, list[Placed]] = {}
    families = {"kernel": KERNELS, "bias": BIASES}
    every = [p for p in PARAMETERS if any(p in families[kind] for kind in kinds.split())]
    sets = [[p] for p in every]
    sets += [[p for p in every if p[0] in letters] for letters in LETTERS]
    sets.append(every)
    seen: set[tuple[str, ...]] = set()
    for names in sets:
        if not names or tuple(names) in seen:
            continue
        seen.add(tuple(names))
        wrong = {f"d{n}" for n in names}
        output = next(o for o in ORDER if o in wrong)
        place = f"in {_listed(names)}" if len(names) < len(PARAMETERS) else "in all of them"
        lots.setdefault(output, []).append(
            Placed(output, place, partial(_changed, names=names, change=change))
        )
    for output, ways in lots.items():
        put(OP, output, name, sentence, ways)


def _pixels(x: Array, part: int) -> int:
    return (x.shape[2] // part) * (x.shape[3] // part)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"d{n}" for n in names)


def _changed(
    arrays: Arrays,
    settings: Settings,
    names: Sequence[str],
    change: _Change,
) -> dict[str, Array]:
    images, right = given(arrays, "x"), right_outputs(OP, arrays, settings)
    # The second layers work on maps of half the size.
    return {f"d{n}": change(right[f"d{n}"], images, int(n[1])) for n in names}


_put_parameters("averaged over the batch",
                "The gradients of the images are averaged; the gradient of a sum is their sum.",
                "kernel bias", lambda g, x, part: g / len(x))  # fmt: skip
_put_parameters("averaged over the pixels",
                "The gradients of the pixels are averaged; the gradient of a sum is their sum.",
                "kernel bias", lambda g, x, part: g / _pixels(x, part))  # fmt: skip
_put_parameters("averaged over batch and pixels",
                "The gradient is divided by the number of all pixels; it is a sum over them.",
                "kernel bias", lambda g, x, part: g / (len(x) * _pixels(x, part)))  # fmt: skip
_put_parameters("wrong sign", "The gradient is -1 times what it must be.", "kernel bias",
                lambda g, x, part: -g)  # fmt: skip
_put_parameters("zeros returned", "The gradient is made, but never written to.", "kernel bias",
                lambda g, x, part: np.zeros_like(g))  # fmt: skip
_put_parameters("gradient flipped", "The kernel's gradient is turned by 180 degrees.", "kernel",
                lambda g, x, part: g[_FLIP])  # fmt: skip
_put_parameters("gradient transposed", "Rows and columns of the kernel's gradient are "
                "interchanged.", "kernel", lambda g, x, part: g.swapaxes(2, 3))  # fmt: skip


def _of_one_image(which: int) -> Mapping[str, Layer]:
    def kernel(a: Array, x: Array) -> Array:
        return correlated(a[[which]], x[[which]])

    def bias(dy: Array) -> Array:
        return np.asarray(dy[which].sum((1, 2)))

    return {**{f"kernel {n}": kernel for n in KERNELS}, **{f"bias {n}": bias for n in BIASES}}


for _which, _text in ((0, "first"), (-1, "last")):
    put(OP, "dc1", f"{_text} image only",
        "The gradients of the images are added up; only one of them is kept.",
        [_way("dc1", ORDER, _of_one_image(_which), "")])  # fmt: skip


# The network itself is another one ----------------------------------------------------------

put(OP, "dv1", "ReLU left out",
    "A ReLU stands behind every layer but the last, and its mask in backward.",
    [
        _way("dv1", ORDER[1:], {f"relu {n}": _passed for n in numbers}, behind(numbers),
             {f"relu {n}": np.asarray for n in numbers})
        for numbers in RELUS
    ])  # fmt: skip
