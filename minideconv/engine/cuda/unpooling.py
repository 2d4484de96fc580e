"""Unpooling on a GPU by switches that were made from plane indices, without their pooling.

The reference sorts the switches by pixel. A GPU need not: every pixel gets a list of its values
(kernels/unpooling.cu). Switches that hold their window are in `engine.cuda.pooling`.
"""

from __future__ import annotations

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.module import launch
from minideconv.engine.layout import from_channels_last, to_channels_last
from minideconv.ops import unpooling as ops
from minideconv.ops.geometry import Pair

__all__ = ["last_of_indices", "scatter_indices"]

FILE = "unpooling.cu"
MOST = 2**31
"""Values are numbered in 32 bits."""


@ops.scatter_indices.faster("gpu")
def scatter_indices(values: Array, indices: Array, plane: Pair) -> Array | None:
    """Add every value to the pixel at its index, zeros elsewhere."""
    if not _fits(indices) or values.dtype not in (np.float32, np.float64):
        return None
    xp, y, where = get_xp(values), to_channels_last(values), to_channels_last(indices)
    n, ho, wo, c = y.shape
    x = xp.empty((n, *plane, c), values.dtype)
    heads, following = xp.full(x.shape, -1, np.int32), xp.empty(y.shape, np.int32)
    outputs, pixels = ho * wo, plane[0] * plane[1]
    launch(
        FILE, "make_lists", y.size, (where, heads, following, y.size, outputs, pixels, c), x.dtype
    )
    launch(FILE, "add_lists", x.size, (y, heads, following, x, x.size), x.dtype)
    return from_channels_last(x)


@ops.last_of_indices.faster("gpu")
def last_of_indices(indices: Array, plane: Pair) -> Array | None:
    """Return which indices are the last, in row-major order, at their pixel: a mask."""
    if not _fits(indices):
        return None
    xp, where = get_xp(indices), to_channels_last(indices)
    n, ho, wo, c = where.shape
    last = xp.full((n, *plane, c), -1, np.int32)
    won = xp.empty(where.shape, np.uint8)
    shape = (where.size, ho * wo, plane[0] * plane[1], c)
    launch(FILE, "claim", where.size, (where, last, *shape))
    launch(FILE, "winners", where.size, (where, last, won, *shape))
    return from_channels_last(won.view(np.bool_))


def _fits(indices: Array) -> bool:
    return indices.dtype == np.int32 and 0 < indices.size < MOST
