"""Operators under the names of PyTorch's methods: ``x.add(y)`` is ``x + y``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minideconv.autograd import elementwise
from minideconv.autograd.broadcasting import as_tensor
from minideconv.autograd.methods import Operand
from minideconv.autograd.reductions import matmul
from minideconv.autograd.tensor import Tensor
from minideconv.backend import Array

__all__ = ["add", "comparison", "div", "dot", "mv", "round", "sub"]


def add(x: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """Return ``x + alpha * other``."""
    return elementwise.add(x, other if alpha == 1 else elementwise.mul(other, alpha))


def sub(x: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """Return ``x - alpha * other``."""
    return elementwise.sub(x, other if alpha == 1 else elementwise.mul(other, alpha))


def div(x: Operand, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """Return ``x / other``, rounded down with ``rounding_mode="floor"``."""
    if rounding_mode not in (None, "floor"):
        raise ValueError(f"div: rounding_mode is {rounding_mode!r}; it must be None or 'floor'")
    return elementwise.div(x, other) if rounding_mode is None else elementwise.floordiv(x, other)


def round(x: Operand, *, decimals: int = 0) -> Tensor:
    """Return `x` rounded to `decimals` digits behind the point; the slope is 0."""
    if decimals == 0:
        return elementwise.round(x)
    return elementwise.div(elementwise.round(elementwise.mul(x, 10.0**decimals)), 10.0**decimals)


def dot(x: Operand, other: Operand) -> Tensor:
    """Return the inner product of two vectors."""
    return _product("dot", x, other, 1)


def mv(x: Operand, other: Operand) -> Tensor:
    """Return the product of a matrix and a vector."""
    return _product("mv", x, other, 2)


def _product(name: str, x: Operand, other: Operand, axes: int) -> Tensor:
    x, other = as_tensor(x), as_tensor(other)
    if (x.ndim, other.ndim) != (axes, 1):
        what = "two vectors" if axes == 1 else "a matrix and a vector"
        raise ValueError(
            f"{name}: shapes {x.shape} and {other.shape} are not those of {what}; "
            "matmul takes any number of axes"
        )
    return matmul(x, other)


def comparison(name: str, compare: Callable[[Tensor, Any], Array]) -> Callable[..., Array]:
    """Make ``x.eq(y)`` of ``==`` and the like: an array of bools, as there."""

    def operation(x: Operand, other: Operand) -> Array:
        found = compare(as_tensor(x), other)
        if found is NotImplemented:
            raise TypeError(
                f"{name}: cannot compare a Tensor with a {type(other).__name__}; it must be a "
                "tensor, an array or a number"
            )
        return found

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"Compare with another tensor or number: an array of bools ({name})."
    return operation
