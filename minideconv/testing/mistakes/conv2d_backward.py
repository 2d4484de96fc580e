"""Wrong versions of conv2d_backward: dx stamps, dw correlates, db sums."""

from __future__ import annotations

import numpy as np

from minideconv.testing.error_kinds import SHAPE, Fails
from minideconv.testing.mistakes.bank import Right, given, mistake, right_values, vary
from minideconv.testing.mistakes.bias_gradients import bias_gradient_mistakes
from minideconv.testing.mistakes.conv2d import conv_parts, remainder_rejected
from minideconv.testing.mistakes.gradients import stale_gradients, weight_gradient_mistakes
from minideconv.testing.mistakes.stamping import stamping_mistakes
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

OP = "conv2d_backward"

stamping_mistakes(OP, "dx", "dy", outer=0)
stale_gradients(OP)
weight_gradient_mistakes(OP, "x", "dy")
bias_gradient_mistakes(OP)
remainder_rejected(OP, "dx", conv_parts)


def _without_zeros(arrays: Arrays, settings: Settings) -> Array:
    """Correlate dy, spaced out without zeros for the remainder: what is left does not fit."""
    dx, x, w = right_values(OP, "dx")(arrays, settings), given(arrays, "x"), given(arrays, "w")
    numbers = (settings[name] for name in ("stride", "padding", "dilation"))
    for axis, (n, k, s, p, d) in enumerate(zip(x.shape[2:], w.shape[2:], *numbers, strict=True)):
        rest = (n + 2 * p - d * (k - 1) - 1) % s
        left = min(n, n + p - rest)
        if rest >= d or (left < n and left != 1):
            raise Fails(SHAPE)
        if left < n:
            dx = np.repeat(dx.take([0], 2 + axis), n, 2 + axis)
    return dx


@mistake(OP, "dx", "pixels that no window reached left out",
         "dx ends with the last window; it has the shape of x, with zeros where none was.",
         )  # fmt: skip
def _without_remainder(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dx, w, dy = right(arrays, settings), given(arrays, "w"), given(arrays, "dy")
    ends = [
        (n - 1) * s + d * (k - 1) + 1 - 2 * p
        for n, k, s, d, p in zip(
            dy.shape[2:], w.shape[2:], *(settings[n] for n in ("stride", "dilation", "padding")),
            strict=True,
        )
    ]  # fmt: skip
    return dx[:, :, : max(0, ends[0]), : max(0, ends[1])]


vary(OP, "dx", "pixels that no window reached left out", _without_zeros)
