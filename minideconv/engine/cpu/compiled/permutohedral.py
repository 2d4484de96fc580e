"""The permutohedral lattice, compiled: simplices point by point, rows of values by vectors.

Rows of the table have at least 16 numbers. One of L numbers is done by vectors of 16, of which the
last begins at L - 16, so some numbers are computed twice, from the same inputs.
"""

from __future__ import annotations

import numpy as np

from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.vectors import LANES, fma, load, splat, store

__all__ = ["blur", "distinct", "find", "read", "simplices", "spread"]


@kernel(writes="codes weights")
def simplices(y, low, radix, codes, weights):
    """Fill in the codes of each point's corners and its coordinates; see `ops.permutohedral`."""
    n, corners = y.shape
    d = corners - 1
    base, rank = np.empty(corners), np.empty(corners, np.int64)
    ordered = np.empty(corners)
    for point in range(n):
        total = 0.0
        for i in range(corners):
            base[i] = np.rint(y[point, i] / corners) * corners
            total += base[i]
        excess = int(np.rint(total / corners))
        for i in range(corners):
            rank[i] = excess
        for i in range(corners):
            for j in range(i + 1, corners):
                if base[i] - y[point, i] <= base[j] - y[point, j]:
                    rank[j] += 1
                else:
                    rank[i] += 1
        for i in range(corners):
            if rank[i] < 0:
                base[i] += corners
                rank[i] += corners
            elif rank[i] > d:
                base[i] -= corners
                rank[i] -= corners
            ordered[d - rank[i]] = (y[point, i] - base[i]) / corners
        before = ordered[d] - 1.0
        for k in range(corners):
            weights[point, k] = ordered[k] - before
            before = ordered[k]
            code = np.int64(0)
            for i in range(d):
                above = corners if rank[i] > d - k else 0
                code += (np.int64(base[i]) + k - above - low[i]) * radix[i]
            codes[point, k] = code


@kernel(writes="table numbers")
def distinct(codes, table, numbers):
    """Give the codes numbers, in the order in which they come; return how many there are.

    `table` is a hash table for 2^b entries: codes, -1 where none is, and behind each its number.
    It may fill up to the half; -1 is returned if that is not enough.
    """
    size = len(table)
    shift = np.uint64(64 - int(np.log2(size)))
    count = 0
    for i in range(len(codes)):
        code = codes[i]
        slot = np.int64((np.uint64(code) * np.uint64(0x9E3779B97F4A7C15)) >> shift)
        while table[slot, 0] != code and table[slot, 0] >= 0:
            slot = (slot + 1) & (size - 1)
        if table[slot, 0] < 0:
            if 2 * count >= size:
                return -1
            table[slot, 0], table[slot, 1] = code, count
            count += 1
        numbers[i] = table[slot, 1]
    return count


@kernel(writes="places")
def find(codes, wanted, places):
    """Walk along two sorted arrays and write where in `codes` each of `wanted` is."""
    at, count = 0, len(codes)
    for i in range(len(wanted)):
        while at < count and codes[at] < wanted[i]:
            at += 1
        places[i] = at if at < count and codes[at] == wanted[i] else count


@kernel(writes="table")
def spread(values, corners, weights, table, labels):
    """Add each point's row to those of its corners."""
    last = labels - LANES
    for point in range(corners.shape[0]):
        for k in range(corners.shape[1]):
            weight, target = splat(weights[point, k]), corners[point, k] * labels
            # The end is read before the vectors in front of it change it.
            end = fma(weight, load(values, point * labels + last), load(table, target + last))
            for c in range(0, last, LANES):
                new = fma(weight, load(values, point * labels + c), load(table, target + c))
                store(table, target + c, new)
            store(table, target + last, end)


@kernel(writes="result")
def blur(table, before, behind, result, labels):
    """Write each row and half of its two neighbours to `result`."""
    half = splat(0.5)
    for row in range(before.size):
        here, one, other = row * labels, before[row] * labels, behind[row] * labels
        for start in range(0, labels, LANES):
            c = min(start, labels - LANES)
            both = load(table, one + c) + load(table, other + c)
            store(result, here + c, fma(half, both, load(table, here + c)))


@kernel(writes="values")
def read(table, corners, weights, scale, values, labels):
    """Write each point's mixture of its corners' rows."""
    for point in range(corners.shape[0]):
        for start in range(0, labels, LANES):
            c = min(start, labels - LANES)
            value = splat(0.0)
            for k in range(corners.shape[1]):
                row = load(table, corners[point, k] * labels + c)
                value = fma(splat(weights[point, k]), row, value)
            store(values, point * labels + c, value * splat(scale))
