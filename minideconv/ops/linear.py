"""The fully connected layer: one matrix product.

    (N, C_in) x (C_out, C_in) -> (N, C_out)        y = x Wᵀ + b

Any number of leading axes may stand for N. The weight is stored (out, in), as in PyTorch, so that
each row is what one output looks at. It is the 1 x 1 convolution of a 1 x 1 image, and its three
partials are the three matrix products that can be made of x, W and dy.
"""

from __future__ import annotations

from minideconv.backend import Array
from minideconv.backend.dispatch import accelerated
from minideconv.backend.sums import sum_over

__all__ = ["linear", "linear_backward"]


def _check(x: Array, weight: Array, bias: Array | None) -> None:
    for name, array in (("x", x), ("weight", weight)):
        if array.dtype.kind != "f":
            raise TypeError(f"linear: {name} has dtype {array.dtype}; it must be floating point")
    if weight.ndim != 2:
        raise ValueError(f"linear: weight has shape {weight.shape}; it must be (C_out, C_in)")
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear: x has shape {x.shape} but weight has shape {weight.shape}; "
            f"the last axis of x must have weight.shape[1] = {weight.shape[1]} elements"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"linear: bias has shape {bias.shape}; "
            f"with weight {weight.shape} it must be {weight.shape[:1]}, one number per output"
        )


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Return ``x @ weight.T + bias``.

    Parameters
    ----------
    x : array (..., C_in)
    weight : array (C_out, C_in)
    bias : array (C_out,), optional

    Returns
    -------
    array (..., C_out)

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit, or an array is not floating point.

    Examples
    --------
    >>> import numpy as np
    >>> linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([0.0, 10.0]))
    array([[11., 27.]])
    """
    _check(x, weight, bias)
    return linear_core(x, weight, bias)


@accelerated
def linear_core(x: Array, weight: Array, bias: Array | None) -> Array:
    """`linear` of arrays that fit."""
    rows = x.reshape(-1, x.shape[-1])  # (..., C_in) -> (N, C_in)
    # W xᵀ, transposed, rather than x Wᵀ: with few rows BLAS reads a large W half as often this way.
    y = (weight @ rows.T).T  # (C_out, N) -> (N, C_out)
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], weight.shape[0])


@accelerated
def linear_backward(
    dy: Array, x: Array, weight: Array, needs: tuple[bool, bool, bool] = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    """Return (dL/dx, dL/dweight, dL/dbias) of `linear`; None for each that is not in `needs`."""
    g = dy.reshape(-1, weight.shape[0])  # (..., C_out) -> (N, C_out)
    rows = x.reshape(-1, weight.shape[1])  # (..., C_in) -> (N, C_in)
    dx = (g @ weight).reshape(x.shape) if needs[0] else None
    dweight = g.T @ rows if needs[1] else None
    dbias = sum_over(g, (0,)).astype(g.dtype, copy=False) if needs[2] else None
    return dx, dweight, dbias
