"""Sorting and running sums on a GPU, of whole numbers: deterministic, without atomics.

CuPy's own sort is compiled for a GPU alone and would be the one step that no test could run.
"""

from __future__ import annotations

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.module import BLOCK, launch

__all__ = ["running_sum", "stable_sort"]

TILE = 16 * BLOCK
"""Numbers that a block scans: EACH for each thread (kernels/scan.cu)."""
STRETCH = 32
"""Numbers that a thread counts and places (kernels/sort.cu)."""
BITS = 4


def running_sum(values: Array) -> None:
    """``values[i] = values[0] + ... + values[i]``, in place; int32, contiguous, sums below 2^31."""
    tiles = -(-values.size // TILE)
    sums = get_xp(values).empty(tiles, np.int32)
    launch("scan.cu", "scan_tiles", values.size, (values, sums, values.size), grid=tiles)
    if tiles > 1:
        running_sum(sums)
        launch("scan.cu", "add_before", values.size, (values, sums, values.size))


def stable_sort(keys: Array, bits: int) -> tuple[Array, Array]:
    """Return the keys in ascending order, and where each of them was; equal ones keep their order.

    Parameters
    ----------
    keys : (N,) int64 array
        From 0 to 2^bits - 1, and below 2^31 of them.
    bits : int

    Returns
    -------
    (N,) int64 and int32 arrays
    """
    xp, count = get_xp(keys), keys.size
    stretches = -(-count // STRETCH)
    counts = xp.empty(stretches << BITS, np.int32)
    order = xp.arange(count, dtype=np.int32)
    keys = keys.copy()  # the caller's are not written to
    into, order_into = xp.empty_like(keys), xp.empty_like(order)
    for shift in range(0, max(bits, 1), BITS):
        sizes = (stretches, count, shift)
        launch("sort.cu", "count_digits", stretches, (keys, counts, *sizes))
        running_sum(counts)
        arrays = (keys, order, counts, into, order_into)
        launch("sort.cu", "place_by_digit", stretches, (*arrays, *sizes))
        keys, into, order, order_into = into, keys, order_into, order
    return keys, order
