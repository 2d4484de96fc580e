"""ReLU, softmax and dropout as functions of Tensors."""

from __future__ import annotations

import numpy as np

from minideconv import ops
from minideconv.autograd import Tensor, record
from minideconv.autograd.broadcasting import passed
from minideconv.autograd.linear_map import linear_map
from minideconv.backend import Array
from minideconv.functional.arguments import Grads, Needs, no_tensor

__all__ = ["dropout", "log_softmax", "record_log_softmax", "relu", "softmax"]


def relu(x: Tensor, inplace: bool = False) -> Tensor:
    """Return ``max(x, 0)``. `inplace` is accepted as in PyTorch; nothing is written over."""
    if not isinstance(x, Tensor):
        raise no_tensor("relu", x=x)
    y = ops.relu(x.data)

    def backward(dy: Array, needs: Needs, y: Array) -> Grads:
        return (ops.relu_backward(dy, y),)

    return record("relu", y, (x,), backward, (y,), None, True, _relu_backward)


def _relu_backward(dy: Tensor, needs: Needs, y: Tensor) -> tuple[Tensor]:
    return (passed(dy, y > 0),)  # the mask is constant: the second derivative is 0


def softmax(x: Tensor, dim: int) -> Tensor:
    """Return ``exp(x) / sum(exp(x))`` along `dim`; see `ops.softmax`."""
    if not isinstance(x, Tensor):
        raise no_tensor("softmax", x=x)
    y = ops.softmax(x.data, dim)

    def backward(dy: Array, needs: Needs, y: Array) -> Grads:
        return (ops.softmax_backward(dy, y, dim),)

    def differentiable(dy: Tensor, needs: Needs, y: Tensor) -> tuple[Tensor]:
        weighted = dy * y
        return (weighted - y * weighted.sum(dim, keepdims=True),)

    return record("softmax", y, (x,), backward, (y,), {"dim": dim}, True, differentiable)


def log_softmax(x: Tensor, dim: int) -> Tensor:
    """Return ``x - log(sum(exp(x)))`` along `dim`; see `ops.log_softmax`."""
    if not isinstance(x, Tensor):
        raise no_tensor("log_softmax", x=x)
    return record_log_softmax(ops.log_softmax(x.data, dim), x, dim)


def record_log_softmax(y: Array, x: Tensor, dim: int) -> Tensor:
    """Put on the tape that the array `y` is ``log_softmax(x, dim)``."""

    def backward(dy: Array, needs: Needs, y: Array) -> Grads:
        return (ops.log_softmax_backward(dy, y, dim),)

    def differentiable(dy: Tensor, needs: Needs, y: Tensor) -> tuple[Tensor]:
        return (dy - y.exp() * dy.sum(dim, keepdims=True),)

    return record("log_softmax", y, (x,), backward, (y,), {"dim": dim}, True, differentiable)


def dropout(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    rng: np.random.Generator | None = None,
    *,
    inplace: bool = False,
) -> Tensor:
    """Zero each value with probability `p`, scale the rest by ``1 / (1 - p)``: `ops.dropout`.

    `inplace` is accepted as in PyTorch; nothing is written over.
    """
    if not isinstance(x, Tensor):
        raise no_tensor("dropout", x=x)
    y, mask = ops.dropout(x.data, p, training, rng, return_mask=True)

    def backward(dy: Array, needs: Needs, mask: Array | None) -> Grads:
        return (ops.dropout_backward(dy, mask),)

    options = {"p": p, "training": training}
    return record("dropout", y, (x,), backward, (mask,), options, False, _dropout_backward)


def _dropout_backward(dy: Tensor, needs: Needs, mask: Array | None) -> tuple[Tensor]:
    def masked(values: Array) -> Array:
        return ops.dropout_backward(values, mask)

    return (linear_map("dropout_backward", dy, masked, masked),)  # a diagonal matrix
