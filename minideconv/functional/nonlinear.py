"""Pointwise functions made of those of `autograd.elementwise`, and dropout of whole channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv import ops
from minideconv.autograd import Tensor, elementwise, record
from minideconv.autograd.tensor import wrap
from minideconv.backend import Array, get_xp
from minideconv.backend.checks import check_flag, check_generator, check_number
from minideconv.backend.dispatch import device_guard
from minideconv.functional.arguments import Needs, data_of, no_tensor
from minideconv.functional.pointwise import dropout
from minideconv.ops.dropout import check_probability

__all__ = ["dropout2d", "leaky_relu", "sigmoid", "softplus", "tanh"]


def leaky_relu(x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return ``x`` where it is positive and ``negative_slope * x`` elsewhere; so is its slope at 0.

    Maas, Hannun, Ng, "Rectifier nonlinearities improve neural network acoustic models" (2013),
    section 2. `inplace` is accepted as in PyTorch; nothing is written over.
    """
    if not isinstance(x, Tensor):
        raise no_tensor("leaky_relu", x=x)
    check_number("leaky_relu", "negative_slope", negative_slope)
    slope = negative_slope

    @device_guard
    def backward(g: Any, needs: Needs, x: Any) -> Any:
        data = data_of(x)
        return (g * get_xp(data).where(data > 0, 1.0, slope).astype(data.dtype),)

    y = _leaky(x.data, slope)
    options = {"negative_slope": slope}
    return record("leaky_relu", y, (x,), backward, (x,), options, True, backward)


@device_guard
def _leaky(x: Array, slope: float) -> Array:
    return get_xp(x).where(x > 0, x, x * slope)


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


def _identity(g: Any, needs: Needs) -> tuple[Any]:
    return (g,)


def dropout2d(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    rng: np.random.Generator | None = None,
    *,
    inplace: bool = False,
) -> Tensor:
    """Zero whole channels of (N, C, H, W), each with probability `p`; see `dropout`.

    Tompson et al., "Efficient object localization using convolutional networks" (2015), section
    3.2: neighbouring pixels are alike, so that dropping single ones takes little away.
    """
    if not isinstance(x, Tensor):
        raise no_tensor("dropout2d", x=x)
    check_probability("dropout2d", p)
    check_flag("dropout2d", "training", training)
    check_generator("dropout2d", rng, "nothing here works in place")
    if x.ndim != 4:
        raise ValueError(f"dropout2d: x has shape {x.shape}; it must have 4 axes (N, C, H, W)")
    if not training:  # recorded all the same, so that a reader of the graph sees the layer
        y = ops.dropout(x.data, p, training)
        options = {"p": p, "training": training}
        return record("dropout2d", y, (x,), _identity, (), options, False, _identity)
    ones: Any = get_xp(x.data).ones_like(x.data, shape=(*x.shape[:2], 1, 1))
    return x * dropout(wrap(ones), p, training, rng)
