"""Wrong versions of conv_transpose2d_backward: dx and dw correlate, db sums."""

from __future__ import annotations

from minideconv.testing.mistakes.bias_gradients import bias_gradient_mistakes
from minideconv.testing.mistakes.correlation import correlation_mistakes
from minideconv.testing.mistakes.gradients import stale_gradients, weight_gradient_mistakes

__all__: list[str] = []  # they are reached through the bank

OP = "conv_transpose2d_backward"

correlation_mistakes(OP, "dx", "dy", outer=1)
stale_gradients(OP)
weight_gradient_mistakes(OP, "dy", "x")
bias_gradient_mistakes(OP)
