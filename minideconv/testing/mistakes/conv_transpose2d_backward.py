"""Wrong versions of conv_transpose2d_backward: dx and dw correlate, db sums."""

from __future__ import annotations

from functools import partial

from minideconv.testing.mistakes.bank import Mistake, Right, given, mistake, register, slip
from minideconv.testing.mistakes.bias_gradients import bias_gradient_mistakes
from minideconv.testing.mistakes.correlation import correlation_mistakes
from minideconv.testing.mistakes.edges import READING, Edge, as_it_is
from minideconv.testing.mistakes.gradients import stale_gradients, weight_gradient_mistakes
from minideconv.testing.mistakes.indices import backward_by_w, forward, tables
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


@mistake(OP, "dx", "a gradient for every window that fits",
         "dx has an entry for every window of dy; it has the shape of x, which may be smaller.",
         )  # fmt: skip
def _all_windows(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dy, w = given(arrays, "dy"), given(arrays, "w")
    numbers = (settings[name] for name in ("stride", "padding", "dilation"))
    count = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(dy.shape[2:], w.shape[2:], *numbers, strict=True)
    ]
    return forward(dy, w, settings["groups"], tables(settings, w.shape[2:], count))
