"""Sums over axes that round little: pairwise along every axis, and float16 in float32.

NumPy adds pairwise (halves of halves; the rounding error grows with the logarithm of the number of
terms) along the axis that is innermost in memory, and one after another along all others: the sum
of a million rows is off by a hundred times what it has to be. Here the others are halved, too::

    sum(x[0], ..., x[n - 1])  =  sum of half as many rows,  x[i] + x[i + n / 2]

which for short rows is also much faster, since it adds long arrays and not short rows.

Source: N. Higham, "The accuracy of floating point summation" (1993), section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from minideconv.backend import Array, get_xp, memory_order

__all__ = ["sum_over", "sum_type"]

FEW = 8
"""Terms that may be added one after another."""

LONG = 4096
"""Numbers in a row from which on rows are added in groups, whose sums stay in the cache."""


def sum_type(kind: np.dtype) -> np.dtype:
    """Return the type to add up numbers of a type in: float32 for float16, otherwise the same.

    float16 ends at 65504 and counts no further than 2048.
    """
    return np.dtype(np.float32) if kind == np.float16 else kind


def sum_over(x: Array, axes: Sequence[int], keepdims: bool = False) -> Array:
    """Return the sum of `x` over `axes`; that of float16 is float32, which has a wider range.

    It is an array, or one of NumPy's numbers where no axis is left.

    Parameters
    ----------
    x : array
    axes : sequence of int
        Counted from the first, each once.
    keepdims : bool
        Leave the axes in, with length 1.

    Examples
    --------
    >>> sum_over(np.full((1 << 20, 1), 0.1, np.float32), (0,))
    array([104857.6], dtype=float32)
    >>> sum_over(np.full((3, 2), 60000, np.float16), (0, 1))
    np.float32(360000.0)
    """
    axes = tuple(axes)
    if x.size <= 256 and x.dtype.char != "e":  # the usual small sum, with as little as possible
        return x.sum(axes, keepdims=keepdims)
    wide = sum_type(x.dtype) if x.dtype.kind == "f" else None
    dense = len(axes) == x.ndim and (x.ndim == 1 or x.flags.forc)
    if dense or x.dtype.kind != "f" or get_xp(x) is not np:
        return x.sum(axes, wide, keepdims=keepdims)
    order = memory_order(x)
    inner = tuple(takewhile(axes.__contains__, reversed(order)))
    if inner or wide != x.dtype:  # what is innermost in memory NumPy adds pairwise itself
        x = x.sum(inner, wide, keepdims=True)
    stored = x.transpose(order)
    for place, axis in enumerate(order):
        if axis in axes and stored.shape[place] > 1:
            stored = np.expand_dims(_added(np.moveaxis(stored, place, 0)), place)
    x = stored.transpose(np.argsort(order))
    return x if keepdims else x.squeeze(axes)


def _added(rows: Array) -> Array:
    """Return the sum over the first axis."""
    if len(rows) > FEW and rows[0].size >= LONG:
        groups = [rows[i : i + FEW].sum(axis=0) for i in range(0, len(rows), FEW)]
        return _added(np.stack(groups))
    while len(rows) > FEW:
        half = len(rows) // 2
        odd = rows[2 * half :]
        rows = rows[:half] + rows[half : 2 * half]
        if len(odd):
            rows[:1] += odd
    total: Array = rows.sum(axis=0)
    return total
