"""The permutohedral lattice on the CPU where numba is there; the mathematics is in `ops`.

Corners are numbered by a hash table and then sorted by their codes. Neighbours in one direction are
then in the same order as the corners themselves, and blurring reads memory in three streams.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.backend.algorithms import compiled
from minideconv.engine.cpu.memory import empty
from minideconv.ops import permutohedral as reference
from minideconv.ops.permutohedral import Lattice

__all__ = ["distinct", "find", "lattice_filter", "simplices"]

LANES = 16  # of the kernels' vectors


@reference.simplices.faster("cpu")
def simplices(
    y: np.ndarray, low: np.ndarray, radix: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the codes of the corners around each point, and its barycentric coordinates."""
    if not compiled():
        return None
    from minideconv.engine.cpu.compiled import permutohedral as kernels

    codes, weights = np.empty(y.shape, np.int64), np.empty(y.shape, np.float32)
    kernels.simplices(y, low, radix, codes, weights)
    return codes, weights


@reference.distinct.faster("cpu")
def distinct(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, None] | None:
    """Return the different codes in order, and for each code its number among them."""
    if not compiled():
        return None
    from minideconv.engine.cpu.compiled import permutohedral as kernels

    flat, count, size = codes.ravel(), -1, 1 << 16
    numbers = np.empty(len(flat), np.int32)
    while count < 0:
        table = np.full((size, 2), -1, np.int64)
        count = kernels.distinct(flat, table, numbers)
        size *= 8
    table = table[table[:, 0] >= 0]
    found, order = table[:, 0], np.argsort(table[:, 0])
    sorted_number = np.empty(count, np.int32)
    sorted_number[table[order, 1]] = np.arange(count, dtype=np.int32)
    return found[order], sorted_number[numbers].reshape(codes.shape), None


@reference.find.faster("cpu")
def find(codes: np.ndarray, wanted: np.ndarray) -> np.ndarray | None:
    """Return where in the sorted `codes` each of `wanted`, sorted too, is; their count if not."""
    if not compiled():
        return None
    from minideconv.engine.cpu.compiled import permutohedral as kernels

    places = np.empty(len(wanted), np.int32)
    kernels.find(codes, wanted, places)
    return places


@reference.lattice_filter.faster("cpu")
def lattice_filter(values: Any, points: Lattice, transposed: bool = False) -> np.ndarray | None:
    """Return the values filtered: (N, L) -> (N, L)."""
    if not compiled():
        return None
    from minideconv.engine.cpu.compiled import permutohedral as kernels

    n, given = values.shape
    labels = max(given, LANES)
    rows = np.ascontiguousarray(values, np.float32)
    if given < LANES:
        rows = np.pad(rows, ((0, 0), (0, LANES - given)))
    count, size = points.neighbours.shape[1], labels * (points.neighbours.shape[1] + 1)
    table, other = np.zeros(size, np.float32), empty((size,))
    other[count * labels :] = 0
    splat, slice_ = (points.slice, points.splat) if transposed else (points.splat, points.slice)
    kernels.spread(rows.reshape(-1), points.corners, splat, table, labels)
    for neighbours in points.neighbours[::-1] if transposed else points.neighbours:
        before, behind = neighbours.T  # contiguous, as they are made
        kernels.blur(table, before, behind, other, labels)
        table, other = other, table
    result = empty((n, labels))
    scale = np.float32(1 / (1 + 2.0 ** (1 - points.corners.shape[1])))
    kernels.read(table, points.corners, slice_, scale, result.reshape(-1), labels)
    return result[:, :given]
