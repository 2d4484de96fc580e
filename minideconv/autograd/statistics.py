"""More reductions: spread, norm, product, running sum, and where the extremes are.

What can be written with operations that are there is; the others stand beside their derivative. Of
``argmax``, ``any`` and ``all``, whose results are integers or truth values, there is no gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minideconv.autograd import elementwise
from minideconv.autograd.broadcasting import as_tensor
from minideconv.autograd.linear_map import linear_map
from minideconv.autograd.methods import FLOAT, Axis, Operand
from minideconv.autograd.record import record
from minideconv.autograd.reductions import behind_axis, reduced, taken_off, var
from minideconv.autograd.shapes import permute, stack
from minideconv.autograd.sizes import axis_of, index_of
from minideconv.autograd.tensor import Tensor, wrap
from minideconv.backend import Array, get_xp
from minideconv.backend.checks import check_number
from minideconv.backend.dispatch import device_guard
from minideconv.backend.sums import sum_over

__all__ = ["all", "any", "argmax", "argmin", "bincount", "cumsum", "norm", "prod", "std"]


def std(
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
    """Return the standard deviation over `axis`: the square root of `var`, with its arguments.

    Of equal values it is 0, and its gradient is taken as 0.
    """
    if others:
        raise behind_axis("std", axis, others)
    x, axes, keepdims = reduced("std", x, axis, keepdims, dim, keepdim)
    ddof = taken_off("std", ddof, unbiased, correction)
    kind = x.dtype
    if kind.char == "e":  # of which the squares may be none
        x = x.astype(np.float32)
    variance = var(x, axes, keepdims=keepdims, ddof=ddof)
    spread = variance.data != 0
    root = elementwise.sqrt(elementwise.where(spread, variance, 1.0))
    y = elementwise.where(spread, root, 0.0)
    return y.astype(kind) if kind.char == "e" else y


@device_guard
def norm(
    x: Operand,
    p: float = 2,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dim: Axis = None,
    keepdim: bool | None = None,
) -> Tensor:
    """Return ``sum(|x|^p)^(1/p)`` over `axis`, the largest ``|x|`` for ``p=inf``.

    It is computed of ``x / max |x|``, so that no power overflows. Where all of `x` is 0, the
    gradient is taken as 0; of several largest ones the first, as `max`, has that of ``p=inf``.

    Parameters
    ----------
    x : Tensor
    p : float >= 1
    axis, keepdims, dim, keepdim
        As for `reductions.sum`.
    """
    p = 2 if isinstance(p, str) and p == "fro" else p  # PyTorch's name
    check_number("norm", "p", p, 1, legal="a number >= 1, or infinity")
    x, axes, keepdims = reduced("norm", x, axis, keepdims, dim, keepdim)
    if x.dtype.kind != "f":
        x = wrap(x.data.astype(FLOAT))
    if p == math.inf:
        from minideconv.autograd.reductions import max

        return max(elementwise.abs(x), axes, keepdims)
    xp, shape = get_xp(x.data), x.shape
    wide = x.data.astype(np.float32) if x.dtype.char == "e" else x.data
    size = xp.abs(wide)
    if 0 in [shape[i] for i in axes]:  # CuPy's `max` takes no value to begin with
        scale = size.sum(axis=axes, keepdims=True)
    else:
        scale = size.max(axis=axes, keepdims=True)
    scale = xp.where((scale > 0) & xp.isfinite(scale), scale, xp.ones_like(scale))
    total = sum_over((size / scale) ** p, axes, True) ** (1 / p) * scale  # axes kept

    def backward(g: Array, needs: Any, x_data: Array, total: Array) -> tuple[Array]:
        xp = get_xp(g)
        safe = xp.where(total == 0, xp.ones_like(total), total)
        ratio = x_data / safe
        slope = ratio if p == 2 else xp.sign(ratio) * xp.abs(ratio) ** (p - 1)
        kept = [1 if i in axes else n for i, n in enumerate(shape)]
        return (g.reshape(kept) * slope,)

    def differentiable(g: Tensor, needs: Any, x: Tensor, _: Array) -> tuple[Tensor]:
        total = norm(x, p, axes, True)
        ratio = x / elementwise.where(total == 0, 1.0, total)
        slope = ratio
        if p != 2:
            slope = xp.sign(x.data) * elementwise.abs(ratio) ** (p - 1)
        kept = [1 if i in axes else n for i, n in enumerate(shape)]
        return (g.reshape(kept) * slope,)

    y = total if keepdims else total.squeeze(axes)
    options = {"p": p, "axis": axes, "keepdims": keepdims}
    y = xp.asarray(y.astype(x.dtype, copy=False))
    return record("norm", y, (x,), backward, (x, total), options, True, differentiable)


@device_guard
def prod(
    x: Operand,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dim: Axis = None,
    keepdim: bool | None = None,
) -> Tensor:
    """Return the product over `axis`. The gradient of each factor is the product of the others."""
    x, axes, keepdims = reduced("prod", x, axis, keepdims, dim, keepdim)
    shape = x.shape
    others = tuple(i for i in range(x.ndim) if i not in axes)
    order = (*others, *axes)
    count, wide = math.prod(shape[i] for i in axes), _wide(x.data)

    def backward(g: Array, needs: Any, x_data: Array) -> tuple[Array]:
        xp = get_xp(g)
        kept = [shape[i] for i in others]
        factors = x_data.transpose(order).reshape(*kept, count).astype(wide, copy=False)
        one = xp.ones_like(factors[..., :1])
        # Divisions would fail at 0: what is in front of a factor, times what is behind it.
        before = xp.concatenate([one, factors[..., :-1]], -1).cumprod(-1)
        behind = xp.concatenate([one, factors[..., :0:-1]], -1).cumprod(-1)[..., ::-1]
        dx = (g.reshape(*kept, 1) * (before * behind)).astype(x_data.dtype, copy=False)
        back = [order.index(i) for i in range(len(shape))]
        return (dx.reshape([shape[i] for i in order]).transpose(back),)

    def differentiable(g: Tensor, needs: Any, x: Tensor) -> tuple[Tensor]:
        """Multiply one factor after the other."""
        kept = [shape[i] for i in others]
        factors = permute(x, order).reshape(*kept, count)
        if not count:
            return (x * 0.0,)
        one = wrap(get_xp(x.data).ones(kept, x.dtype))
        before, behind = [one], [one]
        for i in range(count - 1):
            before.append(before[-1] * factors[..., i])
            behind.append(behind[-1] * factors[..., count - 1 - i])
        products = [a * b for a, b in zip(before, behind[::-1], strict=True)]
        dx = g.reshape(*kept, 1) * stack(products, -1)
        back = [order.index(i) for i in range(len(shape))]
        return (permute(dx.reshape([shape[i] for i in order]), back),)

    y = x.data.prod(axis=axes, dtype=wide, keepdims=keepdims)
    if x.dtype.kind == "f":
        y = y.astype(x.dtype, copy=False)
    options = {"axis": axes, "keepdims": keepdims}
    return record("prod", y, (x,), backward, (x,), options, True, differentiable)


@device_guard
def cumsum(x: Operand, axis: int | None = None, *, dim: int | None = None) -> Tensor:
    """Return the running sum along an axis. The gradient runs back: each gets all behind it."""
    x, given = as_tensor(x), axis if dim is None else dim
    axis = axis_of("cumsum", "axis", given, x.ndim)

    def forward(a: Array) -> Array:
        y: Array = a.cumsum(axis, _wide(a))
        return y.astype(a.dtype, copy=False) if a.dtype.kind == "f" else y

    def transpose(g: Array) -> Array:
        xp = get_xp(g)
        dx: Array = xp.flip(forward(xp.flip(g, axis)), axis)
        return dx

    def backward(g: Array, needs: Any) -> tuple[Array]:
        return (transpose(g),)

    def differentiable(g: Tensor, needs: Any) -> tuple[Tensor]:
        return (linear_map("cumsum_backward", g, transpose, forward),)

    options = {"axis": axis}
    return record("cumsum", forward(x.data), (x,), backward, (), options, True, differentiable)


def _wide(x: Array) -> Any:
    """Return the type to compute in: float32 for float16, and int64, also for unsigned integers."""
    if x.dtype.kind == "f":
        return np.float32 if x.dtype.char == "e" else x.dtype
    return np.int64


def _place(name: str) -> Any:
    """Make `argmax` or `argmin`."""

    def operation(
        x: Operand,
        axis: int | None = None,
        keepdims: bool = False,
        *,
        dim: int | None = None,
        keepdim: bool | None = None,
    ) -> Tensor:
        x, axes, keepdims = reduced(name, x, axis, keepdims, dim, keepdim)
        if len(axes) != 1 and len(axes) != x.ndim:
            raise ValueError(f"{name}: axis {axis} must be one axis, or None for all elements")
        if 0 in [x.shape[i] for i in axes]:
            raise ValueError(f"{name}: there is no element along axes {axes} of shape {x.shape}")
        one = axes[0] if len(axes) == 1 else None
        found = getattr(x.data, name)(axis=one)
        kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
        return wrap(get_xp(x.data).asarray(found.reshape(kept) if keepdims else found))

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"""Return where along `axis` the {name[3:]}imum is: int64.

    Of equal ones it is the first.
    Without an axis it is the place among all elements, in row-major order.
    """
    return device_guard(operation)


argmax, argmin = _place("argmax"), _place("argmin")


@device_guard
def bincount(x: Operand, weights: Operand | None = None, minlength: int = 0) -> Tensor:
    """Return how often each of 0, 1, 2 ... is in the vector `x`, or the sums of its `weights`.

    The counts are int64, the sums float64; there is no gradient.
    """
    values, minlength = as_tensor(x).data, index_of("bincount", "minlength", minlength)
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise TypeError(
            f"bincount: x has shape {values.shape} and dtype {values.dtype}; it must be a vector "
            "of integers"
        )
    if minlength < 0 or (values.size and values.min() < 0):
        raise ValueError("bincount: x and minlength must not be negative")
    shares = None if weights is None else as_tensor(weights).data
    if shares is not None and shares.shape != values.shape:
        raise ValueError(f"bincount: weights have shape {shares.shape} and x has {values.shape}")
    xp = get_xp(values)
    return wrap(xp.bincount(values.astype(np.int64, copy=False), shares, minlength))


def _truth(name: str) -> Any:
    """Make `any` or `all`."""

    def operation(
        x: Operand,
        axis: Axis = None,
        keepdims: bool = False,
        *,
        dim: Axis = None,
        keepdim: bool | None = None,
    ) -> Array:
        x, axes, keepdims = reduced(name, x, axis, keepdims, dim, keepdim)
        return get_xp(x.data).asarray(getattr(x.data, name)(axis=axes, keepdims=keepdims))

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"""Return whether {name} along `axis` are not 0.

    Truth values are plain arrays, as those of comparisons are.
    """
    return device_guard(operation)


any, all = _truth("any"), _truth("all")
