"""Free memory: what it is filled with, so that results that are not written show."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from minideconv.testing.operations.operation import Array

__all__ = ["MOST", "NEVER_WRITTEN", "never_written", "spoil_free_memory"]

NEVER_WRITTEN = (
    "entries never written to",
    "They hold what was in memory before (np.empty): write every entry, or begin with np.zeros.",
)
"""Name and sentence of a mistake that shows by what is in free memory."""

BYTES = np.float32(-2.71828e38).view(np.uint32)
"""What free memory is filled with: read as a number of any type, it is far from all results."""


MOST = 2**16
"""Larger results come from fresh memory, of which there is nothing to fill."""
_FILLED = np.full(MOST // 4, BYTES)


def spoil_free_memory(sizes: Iterable[int]) -> None:
    """Fill memory of so many bytes, `MOST` at most, and free it: np.empty gives no zeros then."""
    held = [_FILLED[: -(-size // 4)].copy() for size in sizes for _ in range(8)]
    del held  # all at once: blocks that are freed one by one are one block


def never_written(got: Array) -> bool:
    """Return whether a result holds what free memory was filled with, or next to it."""
    if got.dtype.kind not in "fiu" or got.dtype.itemsize not in (4, 8):
        return False
    known = np.full(got.dtype.itemsize // 4, BYTES).view(got.dtype)[0]
    if got.dtype.kind != "f":
        return bool((got == known).any())
    with np.errstate(all="ignore"):
        return bool((np.abs(got / known - 1) < 1e-3).any())
