"""How the kernels that only pass over memory see their arrays: rows of columns (pixels.cuh).

A GPU is at its best when neighbouring threads fetch neighbouring pieces of 16 bytes, and when
enough of them do. So a batch that is stored channels last is seen as (pixels, channels), cut into
pieces of four floats or two doubles; a block of 256 threads is as many pieces wide as there are
channels, and the rest of its threads stand below, on the next pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from minideconv.backend import Array
from minideconv.engine.cuda.module import address, launch
from minideconv.engine.layout import contiguous, to_channels_last

__all__ = ["Pixels", "as_pixels", "pixels_plan", "plan_for"]

THREADS = 256
"""In a block; channel_sums.cuh has the same number."""

BLOCKS = 528
"""In a grid that adds up: four for each of the 132 multiprocessors of an H100, at any time all of
them at work. The number is the same on any GPU, for it decides the order of a sum."""

PIECE = 16
"""Bytes that a thread moves at once."""

TOGETHER = 4
"""Pieces that a thread requests before it waits for the first (batch_norm.cu)."""


class Pixels(NamedTuple):
    """An array as the kernels see it, and the threads for it."""

    dtype: np.dtype[Any]
    vector: int
    rows: int
    columns: int
    block: tuple[int, int]
    wide: int

    @property
    def parts(self) -> int:
        """Blocks below each other that add up."""
        return self._blocks(BLOCKS, self.block[1] * TOGETHER)

    def launch(
        self, file: str, kernel: str, arguments: Sequence[Any], adds_up: bool = False
    ) -> None:
        """Launch a kernel that `adds_up`, in `parts`, or one that writes every row.

        The latter gets more blocks, so that the last to finish are few.
        """
        below = self.parts if adds_up else self._blocks(4 * BLOCKS, self.block[1])
        launch(
            *(file, kernel, 1, arguments, self.dtype),
            defines=(f"VECTOR={self.vector}",),
            block=self.block,
            grid=(below, self.wide),
        )

    def _blocks(self, most: int, rows: int) -> int:
        return max(1, min(most // self.wide, -(-self.rows // rows)))


@lru_cache(maxsize=1024)  # a network has the same few shapes at every step
def pixels_plan(
    rows: int, channels: int, dtype: Any, fold: bool = True, whole: bool = True
) -> Pixels:
    """Return how `rows` pixels of `channels` are seen.

    Parameters
    ----------
    fold : bool
        Whether several pixels may be taken as one long row, if then all pieces are whole.
    whole : bool
        Whether every array begins at a multiple of 16 bytes, as all but slices do.
    """
    vector = PIECE // np.dtype(dtype).itemsize if whole else 1
    together = vector // gcd(channels, vector)
    if together > 1 and (not fold or rows % together):
        vector = together = 1
    pieces = channels * together // vector
    wide = -(-pieces // THREADS)
    width = -(-pieces // wide)
    block = (width, max(1, THREADS // width))
    return Pixels(np.dtype(dtype), vector, rows // together, channels * together, block, wide)


def plan_for(rows: int, *arrays: Array, fold: bool = True) -> Pixels:
    """Return `pixels_plan` for arrays (..., C), of the type of the first."""
    channels, dtype = arrays[0].shape[-1], arrays[0].dtype
    return pixels_plan(rows, channels, dtype, fold, all(address(a) % PIECE == 0 for a in arrays))


def as_pixels(x: Array) -> Array | None:
    """View `x`, (N, C, H, W) or (N, C), as (pixels, C); copy it if it is stored otherwise.

    Return None if the kernels do not take it.
    """
    if x.ndim not in (2, 4) or x.dtype not in (np.float32, np.float64) or x.size == 0:
        return None
    last = to_channels_last(x) if x.ndim == 4 else contiguous(x)
    return last.reshape(-1, x.shape[1])
