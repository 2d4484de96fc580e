"""Pointwise maximum and the softmax family: relu, softmax, log_softmax, each with its backward.

    relu                    any shape -> same shape
    softmax, log_softmax    any shape -> same shape, normalised along one axis `dim`

Each backward takes the *output* y, not the input: it is all that the derivative needs, so the input
can be freed. With s = softmax(x), the two Jacobians along `dim` are

    softmax:      ds_i / dx_j     = s_i (delta_ij - s_j)      symmetric, so dx = s (dy - <dy, s>)
    log_softmax:  dlog s_i / dx_j = delta_ij - s_j            so dx = dy - s <dy, 1>

Source: Bridle, "Probabilistic interpretation of feedforward classification network outputs" (1990),
for softmax; Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines" (2010),
for relu.
"""

from __future__ import annotations

import operator

from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import accelerated
from minideconv.backend.masks import selected
from minideconv.backend.sums import sum_type

__all__ = [
    "log_softmax",
    "log_softmax_backward",
    "relu",
    "relu_backward",
    "softmax",
    "softmax_backward",
]


def _axis(x: Array, dim: int, op: str) -> int:
    if x.dtype.kind != "f":
        raise TypeError(f"{op}: x has dtype {x.dtype}; it must be floating point")
    try:
        axis = operator.index(dim)
    except TypeError:
        raise TypeError(f"{op}: dim is {dim!r}; it must be an integer") from None
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(
            f"{op}: dim is {axis}; x has {x.ndim} axes, so it must be in {-x.ndim}..{x.ndim - 1}"
        )
    return axis


@accelerated
def relu(x: Array) -> Array:
    """Return max(x, 0), element by element; NaN stays NaN.

    Parameters
    ----------
    x : array, any shape

    Returns
    -------
    array, the shape of `x`

    Examples
    --------
    >>> import numpy as np
    >>> relu(np.array([-2.0, 0.0, 3.0]))
    array([0., 0., 3.])
    >>> relu_backward(np.array([5.0, 5.0, 5.0]), relu(np.array([-2.0, 0.0, 3.0])))
    array([0., 0., 5.])
    """
    return get_xp(x).maximum(x, 0)


@accelerated
def relu_backward(dy: Array, y: Array) -> Array:
    """Return dL/dx of `relu` from dL/dy and the output `y`: dy where y > 0, else 0.

    Notes
    -----
    At x = 0, where relu has no derivative, the gradient is 0, as in PyTorch.
    """
    return selected(dy, y > 0)


def softmax(x: Array, dim: int) -> Array:
    """Return exp(x) / sum(exp(x)) along `dim`: positive numbers that add up to 1.

    Parameters
    ----------
    x : floating-point array, any shape
        Scores; ``-inf`` gives probability 0.
    dim : int
        The axis of the classes, 1 for (N, C) and (N, C, H, W).

    Returns
    -------
    array, the shape of `x`

    Raises
    ------
    ValueError, TypeError
        If `dim` is not an axis of `x`, or `x` is not floating point.

    Notes
    -----
    Subtracting the maximum first changes nothing, since it cancels, and keeps exp from overflowing.
    Along an axis of length 0 there is nothing, and nothing comes back. Sums of float16 are float32.

    Examples
    --------
    >>> import numpy as np
    >>> softmax(np.log(np.array([1.0, 2.0, 5.0])), dim=0)
    array([0.125, 0.25 , 0.625])
    """
    axis = _axis(x, dim, "softmax")
    return softmax_core(x, axis) if x.size else x.copy()


@accelerated
def softmax_core(x: Array, axis: int) -> Array:
    """`softmax` along an axis that `x` has."""
    y: Array = x - x.max(axis=axis, keepdims=True)
    get_xp(x).exp(y, out=y)
    y /= y.sum(axis=axis, keepdims=True, dtype=sum_type(x.dtype))
    return y


@accelerated
def softmax_backward(dy: Array, y: Array, dim: int) -> Array:
    """Return dL/dx of `softmax` from dL/dy and the output `y`: y (dy - <dy, y>)."""
    dx = dy * y
    dx -= y * dx.sum(axis=dim, keepdims=True, dtype=sum_type(dx.dtype))
    return dx


def log_softmax(x: Array, dim: int) -> Array:
    """Return log(softmax(x)) along `dim`, exact also where the probability underflows to 0.

    Parameters
    ----------
    x : floating-point array, any shape
    dim : int
        The axis of the classes, 1 for (N, C) and (N, C, H, W).

    Returns
    -------
    array, the shape of `x`; all values <= 0

    Raises
    ------
    ValueError, TypeError
        If `dim` is not an axis of `x`, or `x` is not floating point.

    Examples
    --------
    >>> import numpy as np
    >>> log_softmax(np.array([0.0, -1000.0]), dim=0)
    array([    0., -1000.])
    """
    axis = _axis(x, dim, "log_softmax")
    return log_softmax_core(x, axis) if x.size else x.copy()


@accelerated
def log_softmax_core(x: Array, axis: int) -> Array:
    """`log_softmax` along an axis that `x` has."""
    xp = get_xp(x)
    y: Array = x - x.max(axis=axis, keepdims=True)
    y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True, dtype=sum_type(x.dtype)))
    return y


@accelerated
def log_softmax_backward(dy: Array, y: Array, dim: int) -> Array:
    """Return dL/dx of `log_softmax` from dL/dy and the output `y`: dy - softmax(x) sum(dy)."""
    dx: Array = get_xp(y).exp(y)
    dx *= -dy.sum(axis=dim, keepdims=True, dtype=sum_type(dy.dtype))
    dx += dy
    return dx
