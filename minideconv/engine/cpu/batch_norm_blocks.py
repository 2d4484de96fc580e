"""Batch normalisation's four walks over memory, described in `engine.cpu.batch_norm`, in NumPy.

NumPy does one operation at a time, each from memory to memory. So an array is taken in blocks that
stay in the processor's cache (256 KiB), and all operations are done on one block before the next is
fetched: main memory sees one walk.

All arrays are flat. What belongs to a channel is repeated until it is as long as a block: NumPy's
operations on two arrays of equal length are twice as fast as those that repeat one of them, and,
strange as it is, as those with a single number. The functions have the arguments of those in
`engine.cpu.compiled.batch_norm`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minideconv.engine.cpu.memory import workspace

__all__ = ["WIDTH", "gradient", "gradient_sums", "moments", "normalize", "streamed"]

WIDTH = 1024  # at least so many numbers in a row of channels
ROWS = 32  # rows in a block: so many numbers are added up in the arrays' own precision

Flat = np.ndarray


def streamed(array: np.ndarray) -> bool:
    """NumPy cannot write past the caches."""
    return False


# What overflows here is computed anew by `ops.batch_norm`, which looks at the variance.
@np.errstate(over="ignore", invalid="ignore")
def moments(x: Flat, shift: Flat, totals: Flat, squares: Flat) -> None:
    """Add the sums of ``x - shift`` and of its square to `totals` and `squares`."""
    scratch, (shifts,) = _prepare(x, 1, shift)
    for (block,) in _blocks(scratch.shape[1], x):
        n = block.size
        d = np.subtract(block, shifts[:n], out=scratch[0, :n])
        _add_rows(totals, d)
        d *= d
        _add_rows(squares, d)


def normalize(
    x: Flat, shift: Flat, scale: Flat, offset: Flat, relu: bool, y: Flat, past: bool
) -> None:
    """``y = (x - shift) * scale + offset``, and its positive part if `relu`."""
    scratch, (shifts, scales, offsets) = _prepare(x, 1, shift, scale, offset)
    zeros = scratch[0]
    zeros[...] = 0
    for block, out in _blocks(zeros.size, x, y):
        n = block.size
        np.subtract(block, shifts[:n], out=out)
        out *= scales[:n]
        out += offsets[:n]
        if relu:
            np.maximum(out, zeros[:n], out=out)


def gradient_sums(
    dy: Flat, x: Flat, shift: Flat, scale: Flat, offset: Flat, totals: Flat, products: Flat
) -> None:
    """Add the sums of g and of ``g * (x - shift)``: g is dy where the ReLU let z pass, else 0.

    Without a ReLU `scale` is 0 and `offset` 1: every z is positive.
    """
    scratch, (shifts, scales, offsets) = _prepare(x, 2, shift, scale, offset)
    for block, above in _blocks(scratch.shape[1], x, dy):
        n = block.size
        d, g = scratch[0, :n], scratch[1, :n]
        np.subtract(block, shifts[:n], out=d)
        _pass(above, d, scales[:n], offsets[:n], g)
        _add_rows(totals, g)
        g *= d
        _add_rows(products, g)


def gradient(
    dy: Flat,
    x: Flat,
    shift: Flat,
    scale: Flat,
    offset: Flat,
    a: Flat,
    b: Flat,
    c: Flat,
    dx: Flat,
    past: bool,
) -> None:
    """``dx = a * (g + b * (x - shift) + c)``, with the g of `gradient_sums`."""
    scratch, (shifts, scales, offsets, *line) = _prepare(x, 1, shift, scale, offset, a, b, c)
    for block, above, out in _blocks(scratch.shape[1], x, dy, dx):
        n = block.size
        d = np.subtract(block, shifts[:n], out=scratch[0, :n])
        _pass(above, d, scales[:n], offsets[:n], out)
        d *= line[1][:n]
        out += d
        out += line[2][:n]
        out *= line[0][:n]


def _pass(dy: Flat, d: Flat, scale: Flat, offset: Flat, g: Flat) -> None:
    """Write dy to g where ``d * scale + offset > 0``, else 0: the bits of dy times 1 or 0."""
    np.multiply(d, scale, out=g)
    g += offset
    bits = f"i{g.itemsize}"
    np.multiply(dy.view(bits), g > 0, out=g.view(bits))


# ---------------------------------------------------------------------------------------------
# Blocks


def _prepare(x: Flat, temporaries: int, *numbers: Flat) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return temporaries as long as a block, and the rows of numbers repeated to that length."""
    width = numbers[0].size
    rows = min(ROWS, -(-x.size // width))
    scratch = workspace("blocks", (temporaries, rows * width), x.dtype)
    repeated = workspace("repeated", (len(numbers), rows, width), x.dtype)
    for place, row in zip(repeated, numbers, strict=True):
        place[...] = row
    return scratch, [place.reshape(-1) for place in repeated]


def _blocks(length: int, *arrays: Flat) -> Iterator[tuple[Flat, ...]]:
    for start in range(0, arrays[0].size, length):
        yield tuple(array[start : start + length] for array in arrays)


def _add_rows(totals: Flat, block: Flat) -> None:
    """Add the sums over a block's rows to `totals`; a product with ones is the quickest sum."""
    width = totals.size
    rows, rest = divmod(block.size, width)
    if rows:
        totals += np.ones(rows, block.dtype) @ block[: rows * width].reshape(rows, width)
    if rest:
        totals[:rest] += block[rows * width :]
