"""Sizes and axes as a user gives them: Python's integers, NumPy's, a list or an array of them."""

from __future__ import annotations

import operator
from typing import Any

__all__ = ["axis_of", "index_of", "indices_of", "sizes_of"]


def index_of(op: str, name: str, value: Any) -> int:
    """Return `value` as an int, or raise TypeError if it is no integer."""
    if type(value) is int:
        return value
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: {name} is {value!r}; it must be an integer") from None


def axis_of(op: str, axis: Any, ndim: int) -> int:
    """Return `axis`, which may be counted from the last, counted from the first."""
    axis = index_of(op, "axis", axis)
    if not -ndim <= axis < ndim:
        raise ValueError(f"{op}: axis is {axis}; it must be from {-ndim} to {ndim - 1}")
    return axis + ndim if axis < 0 else axis


def indices_of(value: Any) -> int | tuple[int, ...]:
    """Return an integer as an int, and several, in whatever sequence, as a tuple.

    Raises
    ------
    TypeError
        If it is neither; a truth value is no integer here.
    """
    if isinstance(value, bool):
        raise TypeError
    if getattr(value, "ndim", 0) == 0 and hasattr(value, "__index__"):
        return operator.index(value)
    if isinstance(value, str):
        raise TypeError
    return tuple(operator.index(item) for item in value)


def sizes_of(op: str, name: str, values: tuple[Any, ...]) -> tuple[int, ...]:
    """Return what ``f(2, 3)``, ``f((2, 3))`` and ``f(array)`` were given as a tuple of ints.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    given: Any = values[0] if len(values) == 1 and type(values[0]) is not int else values
    if type(given) is tuple:
        for size in given:
            if type(size) is not int:
                break
        else:  # nearly always
            return given
    try:
        sizes = indices_of(given)
    except TypeError:
        what = repr(given)
        if hasattr(given, "dtype"):
            array: Any = given
            what = f"an array of shape {array.shape} and dtype {array.dtype}"
        raise TypeError(
            f"{op}: {name} is {what}; it must be integers, as in {op}(2, 3) or {op}((2, 3))"
        ) from None
    return sizes if isinstance(sizes, tuple) else (sizes,)
