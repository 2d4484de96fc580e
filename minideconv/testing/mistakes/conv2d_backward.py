"""Wrong versions of conv2d_backward: dx stamps, dw correlates, db sums."""

from __future__ import annotations

from minideconv.testing.mistakes.bank import Right, given, mistake
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
