"""The tiny DeconvNet with wrong layers in some of its places, and its gradients.

A place is a layer by its number: ``"conv 1"`` and ``"conv 2"`` are the convolutions, ``"tconv 1"``
and ``"tconv 2"`` the transposed ones in the order in which they are applied; ``"unpool 2"``, the
last one, uses the switches of ``"pool 1"``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minideconv.testing.mistakes.bank import Mistake, Values, given, register, vary
from minideconv.testing.operations.deconvnet_layers import (
    PARAMETERS,
    convolved,
    correlated,
    gather,
    pooled,
    relu,
    scatter,
    transposed,
)
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = [
    "BOTH",
    "RELUS",
    "Layer",
    "Placed",
    "behind",
    "gradients",
    "in_places",
    "in_size",
    "put",
    "scores",
]

Layer = Callable[..., Any]
Layers = Mapping[str, Layer]

ORDINALS = {"1": "first", "2": "second", "3": "third"}
LAYERS = {"conv": "convolution", "tconv": "transposed convolution", "pool": "pooling",
          "unpool": "unpooling", "relu": "ReLU"}  # fmt: skip
OWNERS = {"conv 1": "1", "conv 2": "2", "tconv 1": "2", "tconv 2": "1"}
"""The number of a layer's parameters: the transposed ones' mirror the others'."""


def in_places(places: Sequence[str], letters: str = "") -> str:
    """Say in which layers; `letters`, such as "wv", are those of their parameters."""
    kinds = {place.split()[0] for place in places}
    owned = [letters[p.startswith("t")] + OWNERS[p] for p in places if letters]
    names = f" ({', '.join(owned)})" if owned else ""
    if len(places) == 1:
        kind, number = places[0].split()
        return f"in the {ORDINALS[number]} {LAYERS[kind]}{names}"
    if len(kinds) == 1:
        return f"in both {LAYERS[kinds.pop()]}s{names}"
    if len(places) == 4:
        return "in all four convolutions"
    return " and ".join(in_places([place]) for place in places)


RELUS = ("1", "2", "3", "12", "13", "23", "123")
"""The numbers of ReLUs, by themselves and together."""


def behind(numbers: str) -> str:
    """Say behind which layers these ReLUs stand."""
    if len(numbers) == 3:
        return "behind every layer"
    layers = {"1": "the first convolution", "2": "the second convolution",
              "3": "the first transposed convolution"}  # fmt: skip
    return f"behind {' and '.join(layers[n] for n in numbers)}"


BOTH = (("{} 1",), ("{} 2",), ("{} 1", "{} 2"))
"""The places of a kind of which there are two layers, to be formatted with its word."""


@dataclass(frozen=True)
class Placed:
    """Values of a mistake that is made in one place of several: ``"in the first pooling"``.

    ``outputs`` gives all outputs that it makes wrong, of which ``output`` is the one by which it is
    recognised.
    """

    output: str
    place: str
    outputs: Callable[[Arrays, Settings], Mapping[str, Array]]

    def __call__(self, arrays: Arrays, settings: Settings) -> Array:
        """Return the output by which the mistake is recognised."""
        return self.outputs(arrays, settings)[self.output]


def in_size(x: Array, size: Sequence[int]) -> Array:
    """Return x with zeros behind it, up to an image's size."""
    more = [(0, n - m) for n, m in zip(size, x.shape[2:], strict=True)]
    return np.pad(x, ((0, 0), (0, 0), *more))


def put(operation: str, output: str, name: str, sentence: str, ways: Iterable[Values]) -> None:
    """Register a mistake that is made in several places, or ways."""
    first, *others = ways
    register(Mistake(operation, output, name, sentence, first))
    vary(operation, output, name, *others)


# Forward ------------------------------------------------------------------------------------

_RIGHT: dict[str, Layer] = {
    "conv": convolved,
    "tconv": transposed,
    "relu": relu,
    "pool": pooled,
    "unpool": scatter,
}


def _chosen(layers: Layers) -> Callable[[str], Layer]:
    return lambda place: layers.get(place, _RIGHT[place.split()[0]])


def scores(arrays: Arrays, layers: Layers) -> Array:
    """Return the scores with wrong layers by their places."""
    layer = _chosen(layers)
    x, w1, b1, w2, b2, v2, c2, v1, c1 = (given(arrays, role) for role in ("x", *PARAMETERS))
    e1 = layer("relu 1")(layer("conv 1")(x, w1, b1))
    p1, switches1 = layer("pool 1")(e1)
    e2 = layer("relu 2")(layer("conv 2")(p1, w2, b2))
    p2, switches2 = layer("pool 2")(e2)
    u2 = layer("unpool 1")(p2, switches2, e2.shape[2:])
    d2 = layer("relu 3")(layer("tconv 1")(u2, v2, c2))
    u1 = layer("unpool 2")(d2, switches1, e1.shape[2:])
    result: Array = layer("tconv 2")(u1, v1, c1)
    return result


# Backward -----------------------------------------------------------------------------------


def _masked(dy: Array, before: Array) -> Array:
    return dy * (before > 0)


def _unpooled(dy: Array, switches: Array, x: Array) -> Array:
    return scatter(dy, switches, x.shape[2:])


def _summed(dy: Array) -> Array:
    return np.asarray(dy.sum((0, 2, 3)))


_RULES: dict[str, Layer] = {
    "conv": transposed,
    "tconv": convolved,
    "kernel": correlated,
    "bias": _summed,
    "relu": _masked,
    "pool": _unpooled,
    "unpool": gather,
    "kept": lambda before, behind: behind,
}


def gradients(arrays: Arrays, rules: Layers, layers: Layers | None = None) -> dict[str, Array]:
    """Return the gradients of the parameters with some rules of backward exchanged.

    ``"conv 2"``, ``"tconv 1"``: of the input of a convolution; ``"kernel w1"``, ``"bias b1"``: of a
    parameter; ``"relu 1"``, ``"pool 1"``, ``"unpool 1"``; ``"kept 1"``: which of the maps before
    and behind a ReLU is kept for the kernel that comes next. `layers` are wrong ReLUs of the
    network.
    """

    def rule(place: str) -> Layer:
        return rules.get(place, _RULES[place.split()[0]])

    layer = _chosen(layers or {})
    x, w1, b1, w2, b2, v2, c2, v1, _ = (given(arrays, role) for role in ("x", *PARAMETERS))
    dscores = given(arrays, "dscores")
    e1 = convolved(x, w1, b1)
    a1 = layer("relu 1")(e1)
    p1, switches1 = pooled(a1)
    e2 = convolved(p1, w2, b2)
    a2 = layer("relu 2")(e2)
    p2, switches2 = pooled(a2)
    d2 = transposed(scatter(p2, switches2, e2.shape[2:]), v2, c2)
    a3 = layer("relu 3")(d2)
    dd2 = rule("relu 3")(rule("unpool 2")(rule("tconv 2")(dscores, v1), switches1), d2)
    dp2 = rule("unpool 1")(rule("tconv 1")(dd2, v2), switches2)
    de2 = rule("relu 2")(rule("pool 2")(dp2, switches2, e2), e2)
    dp1 = rule("conv 2")(de2, w2)
    de1 = rule("relu 1")(rule("pool 1")(dp1, switches1, e1), e1)
    kept1 = gather(rule("kept 1")(e1, a1), switches1)
    kept2 = scatter(gather(rule("kept 2")(e2, a2), switches2), switches2, e2.shape[2:])
    kept3 = scatter(rule("kept 3")(d2, a3), switches1, x.shape[2:])
    return {
        "dw1": rule("kernel w1")(de1, x), "db1": rule("bias b1")(de1),
        "dw2": rule("kernel w2")(de2, kept1), "db2": rule("bias b2")(de2),
        "dv2": rule("kernel v2")(kept2, dd2), "dc2": rule("bias c2")(dd2),
        "dv1": rule("kernel v1")(kept3, dscores), "dc1": rule("bias c1")(dscores),
    }  # fmt: skip
