"""The fully connected layer on a GPU: the three products of `ops.linear`, through cuBLAS.

    y = x W^T + b        dx = dy W        dW = dy^T x

CuPy could compute them too, but neither inside a graph nor in the chosen precision.
"""

from __future__ import annotations

import numpy as np

from minideconv import ops
from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.products import Factors, add_bias, factors, multiply, rounded
from minideconv.engine.layout import contiguous
from minideconv.ops.linear import linear_core

__all__ = ["linear", "linear_backward"]


@linear_core.faster("gpu")
def linear(x: Array, weight: Array, bias: Array | None) -> Array | None:
    """`ops.linear`: (..., C) and (K, C) -> (..., K)."""
    if not _fits(x, weight):
        return None
    kind, xp = factors(x.dtype), get_xp(x)
    k, c = weight.shape
    rows = x.reshape(-1, c)
    y: Array = xp.empty((len(rows), k), x.dtype)
    multiply(_factor(rows, kind), _factor(weight, kind).T, y, kind)
    add_bias(y, contiguous(bias))
    return y.reshape(*x.shape[:-1], k)


@ops.linear_backward.faster("gpu")
def linear_backward(
    dy: Array, x: Array, weight: Array, needs: tuple[bool, bool, bool] = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None] | None:
    """`ops.linear_backward`: the gradients by x, weight and bias that are needed."""
    if not _fits(x, weight) or dy.dtype != x.dtype:
        return None
    kind, xp = factors(x.dtype), get_xp(x)
    k, c = weight.shape
    dx = dw = None
    rows = dy.reshape(-1, k)
    factor = _factor(rows, kind)
    if needs[0]:
        dx = xp.empty(x.shape, x.dtype)
        multiply(factor, _factor(weight, kind), dx.reshape(-1, c), kind)
    if needs[1]:
        dw = xp.empty(weight.shape, x.dtype)
        multiply(factor.T, _factor(x.reshape(-1, c), kind), dw, kind)
    return dx, dw, rows.sum(axis=0) if needs[2] else None


def _fits(x: Array, weight: Array) -> bool:
    if x.dtype != weight.dtype or x.dtype not in (np.float32, np.float64):
        return False
    return x.size > 0 and weight.size > 0


def _factor(matrix: Array, kind: Factors) -> Array:
    """Return a matrix, in either storage order, as a factor stored the same way."""
    if matrix.flags.f_contiguous:
        return rounded(matrix.T, kind).T
    return rounded(get_xp(matrix).ascontiguousarray(matrix), kind)
