"""Sums over axes: sum, mean, variance, extremes and the matrix product.

A sum is a matrix of ones, so its backward is the transpose, which repeats the gradient. The others
are sums of something: the gradient is repeated, then goes through the something.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minideconv.autograd.broadcasting import (
    as_tensor,
    check_one_device,
    held,
    operands,
    unbroadcast,
)
from minideconv.autograd.methods import Axis, Operand
from minideconv.autograd.record import record
from minideconv.autograd.tensor import Tensor
from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import device_guard

__all__ = ["matmul", "max", "mean", "min", "sum", "var"]

# ---- reductions ----------------------------------------------------------------------------------


@device_guard
def sum(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the sum over `axis` (all axes if None)."""
    x = as_tensor(x)
    shape, axes = x.shape, reduced_axes("sum", axis, x.shape)
    return _record("sum", x, lambda g, needs: (_spread(g, shape, axes),), axes, keepdims)


@device_guard
def mean(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the mean over `axis` (all axes if None)."""
    x = as_tensor(x)
    shape, axes = x.shape, reduced_axes("mean", axis, x.shape)
    count = _count("mean", shape, axes)
    return _record("mean", x, lambda g, needs: (_spread(g / count, shape, axes),), axes, keepdims)


@device_guard
def var(x: Operand, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """Return the variance over `axis`: the squared distances from the mean, summed, / (n - ddof).

    ``ddof=0`` is the variance of the values themselves (NumPy's default, batch norm's);
    ``ddof=1`` is the unbiased estimate from a sample (PyTorch's default).
    """
    x = as_tensor(x)
    axes = reduced_axes("var", axis, x.shape)
    count = _count("var", x.shape, axes) - ddof
    if count <= 0:
        raise ValueError(
            f"var: {count + ddof} values and ddof={ddof} leave {count} to divide by; more than "
            "ddof values are needed"
        )

    def backward(g: Array, needs: Any, x_data: Array) -> tuple[Array]:
        distance = x_data - x_data.mean(axis=axes, keepdims=True)
        distance *= _spread(g * (2 / count), x_data.shape, axes)
        return (distance,)

    return _record("var", x, backward, axes, keepdims, (x,), ddof=ddof)


def _extreme(name: str) -> Any:
    """Make the operation `name`, "max" or "min"."""

    def operation(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
        x = as_tensor(x)
        shape, axes = x.shape, reduced_axes(name, axis, x.shape)
        count = _count(name, shape, axes)
        others = tuple(i for i in range(x.ndim) if i not in axes)
        order = (*others, *axes)  # what is reduced comes last, as one axis of the length `count`

        def backward(g: Array, needs: Any, first: Array) -> tuple[Array]:
            chosen = get_xp(g).arange(count) == first[..., None]
            back = [order.index(i) for i in range(len(shape))]
            chosen = chosen.reshape([shape[i] for i in order]).transpose(back)
            return (_spread(g, shape, axes) * chosen,)

        saved: tuple[Any, ...] = ()
        if x.requires_grad:
            rows = x.data.transpose(order).reshape(*(shape[i] for i in others), count)
            saved = (getattr(rows, f"arg{name}")(-1),)
        return _record(name, x, backward, axes, keepdims, saved)

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"""Return the {name}imum over `axis`; a NaN counts as the {name}imum.

    Of equal ones the first, in row-major order, has the gradient.
    """
    return device_guard(operation)


max, min = _extreme("max"), _extreme("min")


def _record(
    name: str, x: Tensor, backward: Any, axes: Any, keepdims: bool, saved: Any = (), **others: Any
) -> Tensor:
    """Call the array's own method `name`, and record it."""
    options = {"axis": axes, "keepdims": keepdims, **others}
    y = getattr(x.data, name)(**options)
    return record(name, y, (x,), backward, saved, options, fresh=bool(saved))


def reduced_axes(name: str, axis: Axis, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return `axis` as a sorted tuple of axes counted from the first."""
    if axis is None:
        return tuple(range(len(shape)))
    given = axis if isinstance(axis, tuple) else (axis,)
    axes = sorted({i + len(shape) if i < 0 else i for i in given})
    if len(axes) != len(given) or (axes and not 0 <= axes[0] <= axes[-1] < len(shape)):
        raise ValueError(
            f"{name}: axis {axis} must name axes of shape {shape}, each once, from {-len(shape)} "
            f"to {len(shape) - 1}"
        )
    return tuple(axes)


def _count(name: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    count = math.prod(shape[i] for i in axes)
    if count == 0:
        raise ValueError(f"{name}: there is nothing to reduce over axes {axes} of shape {shape}")
    return count


def _spread(g: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """Repeat the gradient of a reduction along the reduced axes: the adjoint of a sum."""
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return get_xp(g).broadcast_to(g.reshape(kept), shape)


# ---- matrix product ------------------------------------------------------------------------------


@device_guard
def matmul(a: Operand, b: Operand) -> Tensor:
    """Return the matrix product ``(..., n, k) @ (..., k, m) -> (..., n, m)``.

    Leading axes broadcast. As in NumPy, a vector (k,) on the left is a row and on the right a
    column, whose axis of length 1 is dropped from the result.
    """
    first, second, x, y = operands("matmul", a, b)
    try:
        z = get_xp(x, y).matmul(x, y)
    except (TypeError, ValueError):
        check_one_device("matmul", x, y)
        raise ValueError(
            f"matmul: shapes {np.shape(x)} and {np.shape(y)} do not fit (..., n, k) @ (..., k, m)"
        ) from None
    rows = (1, *x.shape) if x.ndim == 1 else x.shape  # (..., n, k)
    columns = (*y.shape, 1) if y.ndim == 1 else y.shape  # (..., k, m)

    shapes = (x.shape, y.shape)

    def backward(g: Array, needs: Any, a: Any, b: Any) -> Any:
        if shapes[1] != columns:
            g = g[..., None]
        if shapes[0] != rows:
            g = g[..., None, :]  # (..., n, m)
        da = db = None
        if needs[0]:
            da = unbroadcast(g @ b.reshape(columns).swapaxes(-1, -2), rows).reshape(shapes[0])
        if needs[1]:
            db = unbroadcast(a.reshape(rows).swapaxes(-1, -2) @ g, columns).reshape(shapes[1])
        return da, db

    # Only the gradient of a needs b, and the other way round.
    saved = (
        held(first, x) if second is not None and second.requires_grad else None,
        held(second, y) if first is not None and first.requires_grad else None,
    )
    return record("matmul", z, (first, second), backward, saved, fresh=True)
