"""The permutohedral lattice on a GPU; the mathematics is in `ops.permutohedral`.

The corners are numbered by sorting their codes, and the sort leaves each corner's points in a list:
splatting gathers along these, and no sum depends on which thread was first. What is built is what
the reference builds, bit by bit; what is filtered differs by the rounding of float32 sums, and has
the same bits in every run.
"""

from __future__ import annotations

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.module import launch
from minideconv.engine.cuda.sort import running_sum, stable_sort
from minideconv.engine.layout import contiguous
from minideconv.ops import permutohedral as ops
from minideconv.ops.permutohedral import Lattice, Lists
from minideconv.ops.workspace import rows_per_block

__all__ = ["distinct", "embed", "find", "lattice_filter", "simplices"]

BUILD, FILTER = "lattice_build.cu", "lattice_filter.cu"

PIECE = 64
"""Points that a thread adds up when it splats, at most."""

MOST = 2**31 - 1
"""Corners of all points are numbered in 32 bits."""


@ops.embed.faster("gpu")
def embed(f: Array) -> Array:
    """Return the points in d + 1 coordinates whose sum is 0, (N, d) -> (N, d + 1) float64."""
    n, d = f.shape
    xp = get_xp(f)
    y = xp.empty((n, d + 1))
    arguments = (contiguous(f), xp.asarray(ops.scales(d)), y, n)
    launch(BUILD, "embed", n, arguments, defines=_corners(y))
    return y


@ops.simplices.faster("gpu")
def simplices(y: Array, low: Array, radix: Array) -> tuple[Array, Array]:
    """Return the codes of the corners around each point, and its barycentric coordinates."""
    xp = get_xp(y)
    codes, weights = xp.empty(y.shape, np.int64), xp.empty(y.shape, np.float32)
    arguments = (contiguous(y), contiguous(low), contiguous(radix), codes, weights, len(y))
    launch(BUILD, "simplices", len(y), arguments, defines=_corners(y))
    return codes, weights


def _corners(y: Array) -> tuple[str, ...]:
    return (f"CORNERS={y.shape[1]}",)


@ops.distinct.faster("gpu")
def distinct(codes: Array) -> tuple[Array, Array, Lists] | None:
    """Return the different codes in order, each code's number among them, and their lists.

    The host waits three times: for the largest code, the number of corners and that of pieces.
    """
    xp, count = get_xp(codes), codes.size
    if not 0 < count <= MOST:
        return None
    keys, order = stable_sort(contiguous(codes).ravel(), int(codes.max()).bit_length())
    ranks = xp.empty(count, np.int32)
    launch(BUILD, "mark_first", count, (keys, ranks, count))
    running_sum(ranks)
    corners = int(ranks[-1])
    found, starts = xp.empty(corners, np.int64), xp.empty(corners, np.int32)
    numbers = xp.empty(count, np.int32)
    launch(BUILD, "enter", count, (keys, order, ranks, found, starts, numbers, count))
    cuts, piece = xp.empty(count, np.int32), (f"PIECE={PIECE}",)
    launch(BUILD, "mark_pieces", count, (ranks, starts, cuts, count), defines=piece)
    running_sum(cuts)
    last = int(cuts[-1])
    pieces, firsts = xp.full(last + 1, count, np.int32), xp.full(corners + 1, last, np.int32)
    launch(BUILD, "list_pieces", count, (ranks, starts, cuts, pieces, firsts, count))
    return found, numbers.reshape(codes.shape), Lists(order, pieces, firsts)


@ops.find.faster("gpu")
def find(codes: Array, wanted: Array) -> Array:
    """Return where in the sorted `codes` each of `wanted` is; their count if not."""
    places = get_xp(codes).empty(wanted.shape, np.int32)
    arrays = (contiguous(codes), contiguous(wanted), places)
    launch(BUILD, "find", wanted.size, (*arrays, codes.size, wanted.size))
    return places


@ops.lattice_filter.faster("gpu")
def lattice_filter(values: Array, points: Lattice, transposed: bool = False) -> Array | None:
    """Return the values filtered: (N, L) -> (N, L) float32.

    The two tables of the corners' values hold as many labels at a time as the budget of
    `ops.set_workspace_limit` has room for, at least one; that changes no bit.
    """
    if points.lists is None:
        return None
    xp, v = get_xp(values), contiguous(values, np.float32)
    (n, labels), corners = v.shape, points.corners.shape[1]
    order, pieces, firsts = points.lists
    count, parts = points.neighbours.shape[1], len(pieces) - 1
    splat, slice_ = map(contiguous, (points.splat, points.slice))
    if transposed:
        splat, slice_ = slice_, splat
    directions = [(contiguous(one[:, 0]), contiguous(one[:, 1])) for one in points.neighbours]
    if transposed:
        directions.reverse()
    rows = max(parts, count + 1)  # first the pieces' sums are in one of the tables
    width = min(labels, rows_per_block(v, 4 * (rows + count + 1)))
    store, other_store = (xp.empty(r * width, np.float32) for r in (count + 1, rows))
    result = xp.empty((n, labels), np.float32)
    scale = 1 / (1 + 2.0 ** (1 - corners))
    for first in range(0, labels, width):
        w = min(width, labels - first)
        table, other = store, other_store
        place, entries = (corners, labels, first, w), (count + 1) * w
        arrays = (v, splat, order, pieces, other)
        launch(FILTER, "splat_pieces", parts * w, (*arrays, parts * w, *place))
        launch(FILTER, "splat_corners", entries, (other, firsts, table, entries, count, w))
        for before, behind in directions:
            launch(FILTER, "blur", entries, (table, before, behind, other, entries, count, w))
            table, other = other, table
        arrays = (table, points.corners, slice_, scale, result)
        launch(FILTER, "slice", n * w, (*arrays, n * w, *place))
    return result
