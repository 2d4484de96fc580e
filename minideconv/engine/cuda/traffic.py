"""Patch matrix of all taps, or those of the phases: what each way moves and multiplies.

The gradients of a convolution with a stride can be computed by `im2col_gemm` and by `phases_gemm`.
Columns are written by one kernel and read by the next, and so are patches and tiles. In numbers for
each position of the window, C channels in dx and K in dy, kernel k x k = (a s) x (a s):

===============  =======================  ==========================================================
gradient by      all taps                 phases
===============  =======================  ==========================================================
the input        2 k k C                  2 a a K    patches of dy, which s s pixels share
                                          2 s s C    tiles, which do not overlap
the weights      2 k k C                  the same
both             4 k k C                  3 a a K + 4 s s C
===============  =======================  ==========================================================

For a = 2 and K = C that is 32 against 16 of them with a stride of 2, and 8 s s against 8 + 2 s s
with another. Where k is no whole number of strides the phases' patches come in several kinds: for
k = 3, s = 2 they are 6 K numbers that are written and 9 K that are read, beside tiles of 8 C,
against 18 C: only where C is above 1.5 K that is less.

The products are k k C K each way, for phases at a few more positions: where tiles stick out of the
image. So both are counted, in bytes: `PRODUCTS` are made in the time in which a byte is moved.

These are counts, not measurements: which way is faster was never tried on a GPU.
``python -m benchmarks.gpu --only strided`` times both.
"""

from __future__ import annotations

from math import prod

import numpy as np

from minideconv.engine.cuda.phases_gemm import parts
from minideconv.engine.cuda.problem import ConvProblem

__all__ = ["PRODUCTS", "by_columns", "by_phases", "is_shared"]

PRODUCTS = {"fp32": 5.3, "tf32": 47.0, "bf16": 92.0, "fp16": 92.0}
"""Multiplications and additions for a byte: half of 46, 404 and 790 TFLOP/s over 4.3 TB/s."""


def by_columns(problem: ConvProblem) -> float:
    """Return what `im2col_gemm` costs for an input_grad or a weight_grad, in bytes."""
    q = problem
    factor, number = _sizes(q)
    positions, taps = q.n * prod(q.window.out), prod(q.window.kernel)
    columns = positions * taps * q.c
    moved = 2 * columns * (number if q.operation == "input_grad" else factor)
    moved += positions * q.k * factor + _image(q) * number  # dy read; dx written or x read
    return moved + columns * q.k / q.groups / _products(q)


def by_phases(problem: ConvProblem) -> float:
    """Return what `phases_gemm` costs for the same."""
    return _patches(problem) + _product(problem)


def is_shared(problem: ConvProblem) -> bool:
    """Return whether both gradients should be made of the same patches.

    `problem` is either of the two; alone each would be computed in its cheaper way.
    """
    both = [problem._replace(operation=name) for name in ("input_grad", "weight_grad")]
    alone = sum(min(by_columns(one), by_phases(one)) for one in both)
    return _patches(problem) + sum(map(_product, both)) < alone


def _patches(q: ConvProblem) -> float:
    """Return the cost of patches: dy is read for each kind of them, and they are written."""
    factor, number = _sizes(q)
    tiles, patches = parts(q.window)
    taps = sum(prod(coarse.kernel) for coarse, _ in patches)
    dy = q.n * prod(q.window.out) * q.k
    return len(patches) * dy * number + q.n * prod(tiles.out) * taps * q.k * factor


def _product(q: ConvProblem) -> float:
    """Return the cost of a product: patches are read, tiles are written and read."""
    factor, number = _sizes(q)
    tiles, patches = parts(q.window)
    products = [phases for _, several in patches for phases in several]
    positions, width = q.n * prod(tiles.out), prod(tiles.kernel) * q.c
    weights = prod(q.window.kernel) * q.c * q.k // q.groups
    moved = positions * q.k * sum(prod(phases.taps) for phases in products) * factor
    if q.operation == "input_grad":
        moved += 2 * positions * width * number + 2 * weights * factor
    else:
        moved += 2 * positions * width * factor + 2 * weights * number
    moved += _image(q) * number
    return moved + positions * weights / _products(q)


def _image(q: ConvProblem) -> int:
    """Return how many numbers x or dx has."""
    return q.n * prod(q.window.size) * q.c


def _sizes(q: ConvProblem) -> tuple[int, int]:
    """Return the bytes of a product's factor, and of every other number."""
    number = q.dtype.itemsize
    halved = q.dtype == np.float32 and q.precision in ("bf16", "fp16")
    return (2 if halved else number), number


def _products(q: ConvProblem) -> float:
    return PRODUCTS["fp32" if q.dtype == np.float64 else q.precision]
