"""Pointwise functions made of those of `autograd.elementwise`, and dropout of whole channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.autograd import Tensor, elementwise, record
from minideconv.autograd.tensor import wrap
from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import device_guard
from minideconv.functional.arguments import Needs, no_tensor
from minideconv.functional.pointwise import dropout

__all__ = ["dropout2d", "leaky_relu", "sigmoid", "softplus", "tanh"]


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Return ``x`` where it is positive and ``negative_slope * x`` elsewhere; so is its slope at 0.

    Maas, Hannun, Ng, "Rectifier nonlinearities improve neural network acoustic models" (2013),
    section 2.
    """
    if not isinstance(x, Tensor):
        raise no_tensor("leaky_relu", x=x)
    return elementwise.where(x.data > 0, x, x * negative_slope)


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent of `x`."""
    if not isinstance(x, Tensor):
        raise no_tensor("tanh", x=x)
    return elementwise.tanh(x)


def sigmoid(x: Tensor) -> Tensor:
    """Return ``1 / (1 + exp(-x))``; see `autograd.elementwise`."""
    if not isinstance(x, Tensor):
        raise no_tensor("sigmoid", x=x)
    return elementwise.sigmoid(x)


@device_guard
def softplus(x: Tensor) -> Tensor:
    """Return ``log(1 + exp(x))``, whose slope is ``sigmoid(x)``: exact in both tails."""
    if not isinstance(x, Tensor):
        raise no_tensor("softplus", x=x)
    xp, data = get_xp(x.data), x.data
    y = xp.maximum(data, 0) + xp.log1p(xp.exp(-xp.abs(data)))
    return record("softplus", y, (x,), _softplus_backward, (x,), None, True, _softplus_slope)


def _softplus_backward(g: Array, needs: Needs, x_data: Array) -> tuple[Array]:
    return (g * elementwise.sigmoid(wrap(x_data)).data,)


def _softplus_slope(g: Tensor, needs: Needs, x: Tensor) -> tuple[Tensor]:
    return (g * elementwise.sigmoid(x),)


def dropout2d(
    x: Tensor, p: float = 0.5, training: bool = True, rng: np.random.Generator | None = None
) -> Tensor:
    """Zero whole channels of (N, C, H, W), each with probability `p`; see `dropout`.

    Tompson et al., "Efficient object localization using convolutional networks" (2015), section
    3.2: neighbouring pixels are alike, so that dropping single ones takes little away.
    """
    if not isinstance(x, Tensor):
        raise no_tensor("dropout2d", x=x)
    if x.ndim != 4:
        raise ValueError(f"dropout2d: x has shape {x.shape}; it must have 4 axes (N, C, H, W)")
    ones: Any = get_xp(x.data).ones_like(x.data, shape=(*x.shape[:2], 1, 1))
    kept = dropout(wrap(ones), p, training, rng)
    return x * kept if training else x
