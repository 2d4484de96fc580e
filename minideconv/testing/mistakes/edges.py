"""What code does where windows reach over the edge of an array, in each style of writing it.

A test of the bounds reads zeros and writes nothing there, as `indices` does. A loop raises. A slice
is cut off: what is left of it does not fit, and raises, unless a single line is left, which NumPy
repeats. A negative index counts from the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minideconv.testing.error_kinds import INDEX, SHAPE, Fails
from minideconv.testing.mistakes.indices import Tables, tables
from minideconv.testing.operations.operation import Array, Settings

__all__ = [
    "NOWHERE",
    "READING",
    "WRITING",
    "Edge",
    "as_it_is",
    "asked_at",
    "counted",
    "wrapped",
]

NOWHERE = -(10**6)
"""An index that is outside of every image: nothing is read or written there."""

Edge = Callable[[Tables, Sequence[int], Sequence[int]], Tables]
"""``edge(where, size, padding)``: the indices that such code uses in an image of this size and
padding; `Fails` if it raises."""


def as_it_is(where: Tables, size: Sequence[int], padding: Sequence[int]) -> Tables:
    """Leave the indices as they are: what is outside is zero."""
    return where


def _both(change: Callable[[Array, int, int], Array]) -> Edge:
    """Change the indices of rows and of columns, given the first pixel and the end of an axis."""

    def edge(where: Tables, size: Sequence[int], padding: Sequence[int]) -> Tables:
        rows, columns = (
            change(table, -p, n + p) for table, n, p in zip(where, size, padding, strict=True)
        )
        return rows, columns

    return edge


def _strict(table: Array, begin: int, end: int) -> Array:
    if ((table < begin) | (table >= end)).any():
        raise Fails(INDEX, SHAPE)
    return table


def _cut_windows(table: Array, begin: int, end: int) -> Array:
    """Cut each window off by a slice; a single tap that is left is repeated."""
    if (table < begin).any():
        raise Fails(INDEX, SHAPE)
    left = (table < end).sum(1)
    taps = table.shape[1]
    if ((left < taps) & (left != 1) & ((left > 0) | (taps > 1))).any():
        raise Fails(SHAPE)
    return np.where((left == 1)[:, None], table[:, :1], table)


def _cut_taps(table: Array, begin: int, end: int) -> Array:
    """Cut the windows off that a tap sees; a single one that is left is repeated."""
    if (table < begin).any():
        raise Fails(INDEX, SHAPE)
    left = (table < end).sum(0)
    if ((left < len(table)) & (left != 1)).any():
        raise Fails(SHAPE)
    return np.where((left == 1)[None, :], table[:1], table)


def wrapped(
    where: Tables, size: Sequence[int], axes: Sequence[int], low: bool = False, high: bool = False
) -> Tables:
    """Count negative indices of some axes from the end; raise below that if `low`.

    What is beyond the end is zero; with `high` it raises, too.
    """
    if high and any((table >= n).any() for table, n in zip(where, size, strict=True)):
        raise Fails(INDEX)
    turned = []
    for axis, (table, n) in enumerate(zip(where, size, strict=True)):
        if axis in axes:
            if low and (table < -n).any():
                raise Fails(INDEX)
            table = np.where(table < 0, table + n, table)
        turned.append(table)
    return turned[0], turned[1]


def counted(where: Tables, size: Sequence[int], padding: Sequence[int]) -> Tables:
    """Index as NumPy does: from the end if negative; raise beyond that."""
    return wrapped(where, size, (0, 1), low=True, high=True)


def asked_at(settings: Settings, then: Edge) -> Edge:
    """Test the bounds of the right place, but take the other one, by `then`."""

    def edge(where: Tables, size: Sequence[int], padding: Sequence[int]) -> Tables:
        numbers, taps = ([table.shape[axis] for table in where] for axis in (0, 1))
        right = tables({"dilation": (1, 1), **settings}, taps, numbers)
        inside = [(t >= 0) & (t < n) for t, n in zip(right, size, strict=True)]
        rows, columns = (np.where(i, t, 0) for i, t in zip(inside, where, strict=True))
        rows, columns = then((rows, columns), size, padding)
        return np.where(inside[0], rows, NOWHERE), np.where(inside[1], columns, NOWHERE)

    return edge


strict = _both(_strict)
READING: tuple[Edge, ...] = (strict, _both(_cut_windows), _both(_cut_taps))
WRITING: tuple[Edge, ...] = (strict,)
