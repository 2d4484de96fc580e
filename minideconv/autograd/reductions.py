"""Sums over axes: sum, mean, variance, extremes and the matrix product.

A sum is a matrix of ones, so its backward is the transpose, which repeats the gradient. The others
are sums of something: the gradient is repeated, then goes through the something.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minideconv.autograd.broadcasting import (
    as_tensor,
    check_one_device,
    held,
    operands,
    passed,
    unbroadcast,
)
from minideconv.autograd.methods import FLOAT, Axis, Operand
from minideconv.autograd.record import record
from minideconv.autograd.shapes import broadcast_to
from minideconv.autograd.sizes import index_of, indices_of
from minideconv.autograd.tensor import Tensor, wrap
from minideconv.backend import Array, get_xp
from minideconv.backend.checks import check_flag, shown
from minideconv.backend.dispatch import device_guard
from minideconv.backend.sums import sum_over, sum_type

__all__ = [
    "behind_axis", "bmm", "matmul", "max", "mean", "min", "mm", "reduced", "sum", "taken_off",
    "var",
]  # fmt: skip

# ---- reductions ----------------------------------------------------------------------------------


@device_guard
def sum(
    x: Operand,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dim: Axis = None,
    keepdim: bool | None = None,
) -> Tensor:
    """Return the sum over `axis` (all axes if None); `dim` and `keepdim` are PyTorch's names."""
    x, axes, keepdims = reduced("sum", x, axis, keepdims, dim, keepdim)
    shape, data = x.shape, x.data
    if data.dtype.kind == "u":  # NumPy's sum would be unsigned too, and one less 1 of it may wrap
        data = data.astype(np.int64)
    y = sum_over(data, axes, keepdims)
    if y.dtype is not data.dtype and data.dtype.kind == "f":
        y = y.astype(data.dtype)
    return _record("sum", x, y, lambda g, needs: (_spread(g, shape, axes),), axes, keepdims)


@device_guard
def mean(
    x: Operand,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dim: Axis = None,
    keepdim: bool | None = None,
) -> Tensor:
    """Return the mean over `axis` (all axes if None), that of integers in the default float."""
    x, axes, keepdims = reduced("mean", x, axis, keepdims, dim, keepdim)
    shape, count = x.shape, _count("mean", x.shape, axes)
    y = _mean(x.data, axes, keepdims)

    def backward(g: Any, needs: Any) -> tuple[Any]:
        if not isinstance(g, Tensor):
            g = g.astype(sum_type(g.dtype), copy=False)  # float16 may not hold the share
        return (_spread(g / count, shape, axes),)

    return _record("mean", x, y, backward, axes, keepdims)


def _mean(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Return the mean over `axes`, of which there is something."""
    count = math.prod(x.shape[i] for i in axes)
    if x.dtype.kind != "f":
        return (x.sum(axes, "float64", keepdims=keepdims) / count).astype(FLOAT)
    return (sum_over(x, axes, keepdims) / count).astype(x.dtype, copy=False)


@device_guard
def var(
    x: Operand,
    axis: Axis = None,
    *others: Any,
    keepdims: bool = False,
    ddof: int = 0,
    dim: Axis = None,
    keepdim: bool | None = None,
    unbiased: bool | None = None,
    correction: int | None = None,
) -> Tensor:
    """Return the variance over `axis`: the squared distances from the mean, summed, / (n - ddof).

    ``ddof=0`` is the variance of the values themselves (NumPy's default, batch norm's);
    ``ddof=1`` is the unbiased estimate from a sample (PyTorch's default), which ``unbiased=True``
    and ``correction=1`` ask for, too.
    """
    if others:  # PyTorch's second is `unbiased`, NumPy's another one
        raise behind_axis("var", axis, others)
    x, axes, keepdims = reduced("var", x, axis, keepdims, dim, keepdim)
    ddof = taken_off("var", ddof, unbiased, correction)
    count = _count("var", x.shape, axes) - ddof
    if count <= 0:
        raise ValueError(
            f"var: {count + ddof} values and ddof={ddof} leave {count} to divide by; more than "
            "ddof values are needed"
        )

    def backward(g: Any, needs: Any, x_data: Any) -> tuple[Any]:
        if isinstance(g, Tensor):
            share = _spread(g * (2 / count), x_data.shape, axes)
            return ((x_data - mean(x_data, axes, True)) * share,)
        wide = x_data.astype(sum_type(x_data.dtype), copy=False)
        distance: Array = wide - _mean(wide, axes, True)
        distance *= _spread(g.astype(wide.dtype, copy=False) * (2 / count), x_data.shape, axes)
        return (distance,)

    data = x.data if x.dtype.kind == "f" else x.data.astype(FLOAT)
    wide = data.astype(sum_type(data.dtype), copy=False)
    distance = wide - _mean(wide, axes, True)
    distance *= distance
    y = (sum_over(distance, axes, keepdims) / count).astype(data.dtype, copy=False)
    return _record("var", x, y, backward, axes, keepdims, (x,), ddof=ddof)


def taken_off(name: str, ddof: int, unbiased: bool | None, correction: int | None) -> int:
    """Return by how much less than the count a variance is divided by, by whichever name."""
    if correction is not None:
        return index_of(name, "correction", correction)
    if unbiased is not None:
        return int(check_flag(name, "unbiased", unbiased))
    return index_of(name, "ddof", ddof)


def _extreme(name: str) -> Any:
    """Make the operation `name`, "max" or "min"."""

    def operation(
        x: Operand,
        dim: Axis = None,
        keepdim: bool = False,
        *,
        axis: Axis = None,
        keepdims: bool | None = None,
    ) -> Any:
        if isinstance(dim, Tensor):
            raise TypeError(
                f"{name}: the second argument is a Tensor; {name}imum(a, b) compares two"
            )
        x, axes, keepdims = reduced(name, x, axis, keepdim, dim, keepdims)
        paired = dim is not None and isinstance(indices_of(dim), int)
        shape = x.shape
        count = _count(name, shape, axes)
        others = tuple(i for i in range(x.ndim) if i not in axes)
        order = (*others, *axes)  # what is reduced comes last, as one axis of the length `count`

        def backward(g: Array, needs: Any, first: Array) -> tuple[Array]:
            chosen = get_xp(first).arange(count) == first[..., None]
            back = [order.index(i) for i in range(len(shape))]
            chosen = chosen.reshape([shape[i] for i in order]).transpose(back)
            return (passed(_spread(g, shape, axes), chosen),)

        saved: tuple[Any, ...] = ()
        if x.requires_grad or paired:
            rows = x.data.transpose(order).reshape(*(shape[i] for i in others), count)
            saved = (getattr(rows, f"arg{name}")(-1),)
        y = getattr(x.data, name)(axis=axes, keepdims=keepdims)
        values = _record(name, x, y, backward, axes, keepdims, saved)
        if not paired:
            return values
        return Extreme(values, wrap(saved[0].reshape(values.shape)))

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"""Return the {name}imum over axes; a NaN counts as the {name}imum.

    Over one axis, ``x.{name}(1)`` and ``x.{name}(dim=1)``, the result is PyTorch's: a pair
    ``(values, indices)``. Over all axes, over several, and with NumPy's name,
    ``x.{name}(axis=1)``, it is the values alone. Of equal ones the first, in row-major order, has
    the gradient.
    """
    return device_guard(operation)


max, min = _extreme("max"), _extreme("min")


class Extreme(NamedTuple):
    """What ``x.max(1)`` and ``x.topk(k)`` give: values, and where along the axis they are."""

    values: Tensor
    indices: Tensor

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name}: {_PAIR}" if hasattr(Tensor, name) else f"no {name!r}")


_PAIR = (
    "a pair (values, indices) is no array of numbers; take its .values, or name NumPy's axis:"
    " x.max(axis=1)"
)


def _no_number(*_: Any, **__: Any) -> Any:
    raise TypeError(_PAIR)


# A tuple would join two pairs, and lay one beside itself so often as a number says.
_OPERATORS = "array add radd mul rmul sub rsub truediv rtruediv pow neg matmul lt le gt ge"
for _operator in _OPERATORS.split():
    setattr(Extreme, f"__{_operator}__", _no_number)


def _record(
    name: str,
    x: Tensor,
    y: Array,
    backward: Any,
    axes: Any,
    keepdims: bool,
    saved: Any = (),
    **others: Any,
) -> Tensor:
    options = {"axis": axes, "keepdims": keepdims, **others}
    return record(name, y, (x,), backward, saved, options, bool(saved), differentiable=backward)


def reduced(
    name: str, x: Operand, axis: Axis, keepdims: bool, dim: Axis, keepdim: bool | None
) -> tuple[Tensor, tuple[int, ...], bool]:
    """Return `x` as a Tensor, the axes to reduce, and whether to keep them, by either name."""
    x = as_tensor(x)
    if dim is not None:
        if axis is not None:
            raise TypeError(f"{name}: both axis={axis} and dim={dim} given; they mean the same")
        axis = dim
    keepdims = keepdims if keepdim is None else keepdim
    if keepdims is not True and keepdims is not False:
        hint = f"several axes are one argument, as in {name}((2, 3))"
        keepdims = check_flag(name, "keepdims", keepdims, hint)
    return x, reduced_axes(name, axis, x.shape), keepdims


def behind_axis(name: str, axis: Axis, others: tuple[Any, ...]) -> TypeError:
    """Return the error for positional arguments behind the axis: their order differs elsewhere."""
    given = ", ".join(map(shown, (axis, *others)))
    return TypeError(
        f"{name}: got {name}({given}); behind the axis it must be said by name what is meant: "
        f"{name}({shown(axis)}, keepdims=True), ddof=1 or unbiased=True; "
        "several axes are one argument"
    )


def reduced_axes(name: str, axis: Axis, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return `axis`, an integer or several, as a sorted tuple of axes counted from the first."""
    if axis is None:
        return tuple(range(len(shape)))
    if type(axis) is not int:
        try:
            axis = indices_of(axis)
        except TypeError:
            raise TypeError(
                f"{name}: axis is {axis!r}; it must be an integer, several integers, or None"
            ) from None
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


def _spread(g: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Repeat the gradient of a reduction along the reduced axes: the adjoint of a sum."""
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    if isinstance(g, Tensor):
        return broadcast_to(g.reshape(kept), shape)
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
    inputs = (first, second)
    return record("matmul", z, inputs, backward, saved, fresh=True, differentiable=backward)


def mm(a: Operand, b: Operand) -> Tensor:
    """Return the product of two matrices, (n, k) and (k, m); `matmul` takes more axes."""
    return _product("mm", a, b, 2)


def bmm(a: Operand, b: Operand) -> Tensor:
    """Return the products of two batches of matrices, (N, n, k) and (N, k, m)."""
    return _product("bmm", a, b, 3)


def _product(name: str, a: Operand, b: Operand, axes: int) -> Tensor:
    first, second = as_tensor(a), as_tensor(b)
    batches = (first.shape[: axes - 2], second.shape[: axes - 2])
    if first.ndim != axes or second.ndim != axes or batches[0] != batches[1]:
        must = "matrices (n, k) and (k, m)" if axes == 2 else "(N, n, k) and (N, k, m)"
        raise ValueError(
            f"{name}: shapes are {first.shape} and {second.shape}; they must be {must}; "
            "matmul takes others"
        )
    return matmul(first, second)
