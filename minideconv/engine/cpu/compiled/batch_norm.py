"""Batch normalisation's four walks over memory (see `engine.cpu.batch_norm`), compiled.

An image batch in channels-last order is one long row of numbers in which the channels repeat. All
arrays here are flat, and what belongs to a channel (its mean, its scale) is repeated until it fills
a row of `WIDTH` numbers or more, a multiple of the 16 that the processor takes at once. The walk is
then the same for 3 channels and for 512. Sums take four such rows at a time, so that the processor
waits for memory and not for its own additions.

A sum of float32 numbers in float32 loses digits as it grows. Here each lane adds up at most `ROWS`
numbers before it is emptied into a total in float64.
"""

from __future__ import annotations

import numpy as np

from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.selections import where_positive
from minideconv.engine.cpu.compiled.streams import AHEAD, prefetch, put, streamed
from minideconv.engine.cpu.compiled.vectors import LANES, fma, load, maximum, splat, store

__all__ = ["WIDTH", "gradient", "gradient_sums", "moments", "normalize", "streamed"]

WIDTH = 512  # at least so many numbers in a row of channels
ROWS = 64  # so many are added up in float32


@kernel(writes="totals sums")
def _empty_into(totals, sums):
    for i in range(sums.size):
        totals[i] += sums[i]
        sums[i] = np.float32(0)


@kernel(writes="totals squares")
def moments(x, shift, totals, squares):
    """Add the sums of ``x - shift`` and of its square to `totals` and `squares`."""
    width = shift.size
    sums, squared = np.zeros(width, np.float32), np.zeros(width, np.float32)
    rows, start, ahead = 0, 0, 4 * width
    while start + 4 * width <= x.size:
        for i in range(0, width, LANES):
            m, s, q = load(shift, i), load(sums, i), load(squared, i)
            for r in range(4):
                prefetch(x, start + r * width + i + ahead)
                d = load(x, start + r * width + i) - m
                s = s + d
                q = fma(d, d, q)
            store(sums, i, s)
            store(squared, i, q)
        start += 4 * width
        rows += 4
        if rows == ROWS:
            _empty_into(totals, sums)
            _empty_into(squares, squared)
            rows = 0
    while start < x.size:  # what is left: three rows and a part of one, at most
        block = x[start : start + width]
        for i in range(block.size):
            d = block[i] - shift[i]
            sums[i] += d
            squared[i] += d * d
        start += width
    _empty_into(totals, sums)
    _empty_into(squares, squared)


@kernel(writes="y")
def normalize(x, shift, scale, offset, relu, y, past):
    """``y = (x - shift) * scale + offset``, and its positive part if `relu`.

    `past`: write y past the caches (see `streams`).
    """
    width, start = shift.size, 0
    least = splat(np.float32(0.0 if relu else -np.inf))
    while start + width <= x.size:
        for i in range(0, width, LANES):
            prefetch(x, start + i + AHEAD)
            z = fma(load(x, start + i) - load(shift, i), load(scale, i), load(offset, i))
            put(y, start + i, maximum(z, least), past)
        start += width
    block, out = x[start:], y[start:]
    for i in range(block.size):
        z = (block[i] - shift[i]) * scale[i] + offset[i]
        out[i] = np.float32(0) if relu and z < 0 else z


@kernel(writes="totals products")
def gradient_sums(dy, x, shift, scale, offset, totals, products):
    """Add the sums of g and of ``g * (x - shift)``: g is dy where the ReLU let z pass, else 0.

    Without a ReLU `scale` is 0 and `offset` 1: every z is positive.
    """
    width = shift.size
    sums, multiplied = np.zeros(width, np.float32), np.zeros(width, np.float32)
    rows, start, ahead = 0, 0, 4 * width
    while start + 4 * width <= x.size:
        for i in range(0, width, LANES):
            m, a, b = load(shift, i), load(scale, i), load(offset, i)
            s, q = load(sums, i), load(multiplied, i)
            for r in range(4):
                prefetch(x, start + r * width + i + ahead)
                prefetch(dy, start + r * width + i + ahead)
                d = load(x, start + r * width + i) - m
                g = where_positive(fma(d, a, b), load(dy, start + r * width + i))
                s = s + g
                q = fma(g, d, q)
            store(sums, i, s)
            store(multiplied, i, q)
        start += 4 * width
        rows += 4
        if rows == ROWS:
            _empty_into(totals, sums)
            _empty_into(products, multiplied)
            rows = 0
    while start < x.size:
        block, above = x[start : start + width], dy[start : start + width]
        for i in range(block.size):
            d = block[i] - shift[i]
            g = above[i] if d * scale[i] + offset[i] > 0 else np.float32(0)
            sums[i] += g
            multiplied[i] += g * d
        start += width
    _empty_into(totals, sums)
    _empty_into(products, multiplied)


@kernel(writes="dx")
def gradient(dy, x, shift, scale, offset, a, b, c, dx, past):
    """``dx = a * (g + b * (x - shift) + c)``, with the g of `gradient_sums`."""
    width, start = shift.size, 0
    while start + width <= x.size:
        for i in range(0, width, LANES):
            prefetch(x, start + i + AHEAD)
            prefetch(dy, start + i + AHEAD)
            d = load(x, start + i) - load(shift, i)
            g = where_positive(fma(d, load(scale, i), load(offset, i)), load(dy, start + i))
            put(dx, start + i, (fma(d, load(b, i), load(c, i)) + g) * load(a, i), past)
        start += width
    block, above, out = x[start:], dy[start:], dx[start:]
    for i in range(block.size):
        d = block[i] - shift[i]
        g = above[i] if d * scale[i] + offset[i] > 0 else np.float32(0)
        out[i] = (d * b[i] + c[i] + g) * a[i]
