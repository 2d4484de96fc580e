"""Wrong versions of conv_transpose2d_backward: dx and dw correlate, db sums."""

from __future__ import annotations

from functools import partial

import numpy as np

from minideconv.testing.error_kinds import SHAPE, Fails
from minideconv.testing.mistakes.bank import (
    Mistake,
    Right,
    given,
    mistake,
    register,
    right_values,
    slip,
    vary,
)
from minideconv.testing.mistakes.bias_gradients import bias_gradient_mistakes
from minideconv.testing.mistakes.correlation import correlation_mistakes
from minideconv.testing.mistakes.edges import READING, Edge, as_it_is
from minideconv.testing.mistakes.gradients import stale_gradients, weight_gradient_mistakes
from minideconv.testing.mistakes.indices import backward_by_w, backward_by_x, forward, tables
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

OP = "conv_transpose2d_backward"

correlation_mistakes(OP, "dx", "dy", outer=1)
stale_gradients(OP)
weight_gradient_mistakes(OP, "dy", "x")
bias_gradient_mistakes(OP)


def _of(output: str, dy: Array, arrays: Arrays, settings: Settings, edge: Edge) -> Array:
    """Return dx or dw of another dy."""
    x, w, groups = given(arrays, "x"), given(arrays, "w"), settings["groups"]
    where = tables(settings, w.shape[2:], x.shape[2:])
    where = edge(where, dy.shape[2:], settings["padding"])
    if output == "dx":
        return forward(dy, w, groups, where)
    return backward_by_w(x, dy, w.shape, groups, where)


def _without(output: str, stripped: bool, edge: Edge, arrays: Arrays, settings: Settings) -> Array:
    """Cut the rows and columns of output_padding off dy; with [:-r] if `stripped`."""
    dy, (rh, rw) = given(arrays, "dy"), settings["output_padding"]
    if stripped:
        return _of(output, dy[:, :, :-rh, :-rw], arrays, settings, edge)
    height, width = dy.shape[2:]
    return _of(output, dy[:, :, : height - rh, : width - rw], arrays, settings, edge)


for _output in ("dx", "dw"):
    for _name, _sentence, _stripped in (
        ("output_padding's rows of dy left out",
         "dy is read without the rows and columns of output_padding; stamps reach there.", False),
        ("stripped with [:-r], which is empty without it",
         "output_padding is cut off dy with [:-r], which is empty for r = 0; nothing is cut off.",
         True),
    ):  # fmt: skip
        _ways = tuple(partial(_without, _output, _stripped, e) for e in (as_it_is, *READING))
        register(Mistake(OP, _output, _name, _sentence, _ways[0], variants=_ways[1:]))


@slip(OP, "db", "output_padding's rows of dy left out",
      "dy is summed without the rows and columns of output_padding; the bias is there, too.",
      )  # fmt: skip
def _inner_bias(arrays: Arrays, settings: Settings) -> None:
    (rh, rw), dy = settings["output_padding"], given(arrays, "dy")
    arrays["dy"] = dy[:, :, : dy.shape[2] - rh, : dy.shape[3] - rw]


@mistake(OP, "db", "summed over x's rows and columns only",
         "The sum stops at the height and width of x; it runs over all pixels of dy.",
         )  # fmt: skip
def _over_the_source(arrays: Arrays, settings: Settings, right: Right) -> Array:
    height, width = given(arrays, "x").shape[2:]
    return given(arrays, "dy")[:, :, :height, :width].sum((0, 2, 3))


def _windows_that_fit(arrays: Arrays, settings: Settings) -> list[int]:
    dy, w = given(arrays, "dy"), given(arrays, "w")
    numbers = (settings[name] for name in ("stride", "padding", "dilation"))
    return [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(dy.shape[2:], w.shape[2:], *numbers, strict=True)
    ]


def _gathered(count: list[int], arrays: Arrays, settings: Settings) -> Array:
    dy, w = given(arrays, "dy"), given(arrays, "w")
    return forward(dy, w, settings["groups"], tables(settings, w.shape[2:], count))


@mistake(OP, "dx", "a gradient for every window that fits",
         "dx has an entry for every window of dy; it has the shape of x, which may be smaller.",
         )  # fmt: skip
def _all_windows(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _gathered(_windows_that_fit(arrays, settings), arrays, settings)


def _windows_beside_x(output: str, arrays: Arrays, settings: Settings) -> Array:
    """Meet the windows with x for dw: they are as many, or x has one line, which is repeated."""
    x, w, dy = (given(arrays, role) for role in ("x", "w", "dy"))
    count = _windows_that_fit(arrays, settings)
    if any(there not in (1, wanted) for there, wanted in zip(x.shape[2:], count, strict=True)):
        raise Fails(SHAPE)
    if output == "dx":
        return _gathered(count, arrays, settings)
    x = np.broadcast_to(x, (*x.shape[:2], *count))
    where = tables(settings, w.shape[2:], count)
    return backward_by_w(x, dy, w.shape, settings["groups"], where)


vary(OP, "dx", "a gradient for every window that fits", partial(_windows_beside_x, "dx"))
register(Mistake(OP, "dw", "a gradient for every window that fits",
                 "x is met with every window of dy; there may be more of them than pixels of x.",
                 partial(_windows_beside_x, "dw")))  # fmt: skip


def _painted(filled: bool, arrays: Arrays, settings: Settings) -> Array:
    """Stamp dy with the weight of which input and output channels are interchanged."""
    dy, w, x = (given(arrays, role) for role in ("dy", "w", "x"))
    groups, numbers = settings["groups"], ("stride", "padding", "dilation")
    turned = np.concatenate([block.swapaxes(0, 1) for block in np.split(w, groups)])
    size = [
        max(0, (n - 1) * s + d * (k - 1) + 1 - p)
        for n, k, s, p, d in zip(
            dy.shape[2:], w.shape[2:], *(settings[name] for name in numbers), strict=True
        )
    ]
    where = tables(settings, w.shape[2:], dy.shape[2:])
    cut = x.shape[2:] if filled else [min(pair) for pair in zip(size, x.shape[2:], strict=True)]
    return backward_by_x(dy, turned, groups, where, cut)


def _painted_whole(arrays: Arrays, settings: Settings) -> Array:
    plain = {**settings, "output_padding": (0, 0)}
    given_to = {"x": given(arrays, "dy"), "b": None, "w": np.concatenate(
        [block.swapaxes(0, 1) for block in np.split(given(arrays, "w"), settings["groups"])]
    )}  # fmt: skip
    return right_values("conv_transpose2d", "y")(given_to, plain)


register(Mistake(OP, "dx", "transposed convolution called again",
                 "dx is painted with stamps, as y is; dx gathers what they gave: it correlates dy.",
                 partial(_painted, True),
                 variants=(partial(_painted, False), _painted_whole)))  # fmt: skip
