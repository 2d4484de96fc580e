"""Sizes and axes as a user gives them: Python's integers, NumPy's, a list or an array of them."""

from __future__ import annotations

import operator
from typing import Any

from minideconv.backend.checks import check_integer

__all__ = ["axis_of", "index_of", "indices_of", "sizes_of"]


def index_of(op: str, name: str, value: Any) -> int:
    """Return `value` as an int, or raise TypeError if it is no integer."""
    return value if type(value) is int else check_integer(op, name, value)


def axis_of(op: str, name: str, axis: Any, ndim: int) -> int:
    """Return an axis of `ndim` counted from the first; a negative one counts from the last.

    Raises
    ------
    TypeError, ValueError
        If it is no integer, or there is no such axis.
    """
    number = index_of(op, name, axis)
    if ndim == 0:
        raise ValueError(f"{op}: {name} is {number}; a tensor with no axes has none")
    if not -ndim <= number < ndim:
        raise ValueError(f"{op}: {name} is {number}; it must be from {-ndim} to {ndim - 1}")
    return number % ndim


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
    items = tuple(value)
    if any(isinstance(item, bool) for item in items):
        raise TypeError
    return tuple(operator.index(item) for item in items)


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
