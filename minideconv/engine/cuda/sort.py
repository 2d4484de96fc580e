"""Sorting and running sums on a GPU, of whole numbers: deterministic, without atomics.

CuPy's own sort is compiled for a GPU alone and would be the one step that no test could run.
"""

from __future__ import annotations

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.module import BLOCK, launch

__all__ = ["running_sum", "stable_sort"]

EACH = 16
"""Numbers that a thread scans."""
STRETCH = 32
"""Numbers that a thread counts and places."""
BITS = 4
"""Of a digit."""


def running_sum(values: Array) -> None:
    """``values[i] = values[0] + ... + values[i]``, in place; int32, contiguous, sums below 2^31."""
    count, tiles = values.size, -(-values.size // (EACH * BLOCK))
    sums, each = get_xp(values).empty(tiles, np.int32), (f"EACH={EACH}",)
    launch("scan.cu", "scan_tiles", count, (values, sums, count), defines=each, grid=tiles)
    if tiles > 1:
        running_sum(sums)
        launch("scan.cu", "add_before", count, (values, sums, count), defines=each)


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
    order, stretch = xp.arange(count, dtype=np.int32), (f"STRETCH={STRETCH}",)
    keys = keys.copy()  # the caller's are not written to
    into, order_into = xp.empty_like(keys), xp.empty_like(order)
    for shift in range(0, max(bits, 1), BITS):
        sizes = (stretches, count, shift)
        launch("sort.cu", "count_digits", stretches, (keys, counts, *sizes), defines=stretch)
        running_sum(counts)
        arrays = (keys, order, counts, into, order_into)
        launch("sort.cu", "place_by_digit", stretches, (*arrays, *sizes), defines=stretch)
        keys, into, order, order_into = into, keys, order_into, order
    return keys, order
