"""Products of a few rows with a very large matrix: as fast as the matrix can be read or written.

    y = x W         (N, E) (E, K)     forward, adds rows of W
    dx = dy W^T     (N, K) (K, E)     dot products with rows of W
    dW = x^T dy     (E, N) (N, K)     writes rows of dW

A layer of 25088 x 4096 weights (fc6) holds 411 MB. With two images in the batch, each weight takes
part in two multiplications, and memory delivers one weight in the time of ten: what counts is that
W goes by once, for all images, in long runs. BLAS is made for large matrices on both sides and
here reads W in pieces or once per image.

So W is read with requests that run ahead (`prefetch`), and dW is written past the caches
(`tile_stream`): a store that keeps to the rules first reads the line that it is about to overwrite.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.streams import prefetch
from minideconv.engine.cpu.compiled.tiles import (
    tile_fma,
    tile_load,
    tile_store,
    tile_stream,
    tile_zeros,
)
from minideconv.engine.cpu.compiled.vectors import LANES, fma, load, splat, total
from minideconv.engine.cpu.memory import empty
from minideconv.engine.cpu.parts import ranges

__all__ = ["fits", "forward", "input_grad", "weight_grad"]

_ROWS = 16  # of x; with more the multiplications take longer than the reading
_STRIP = 4 * LANES  # columns of W that are worked on at a time
_PARTS = 8  # fixed, so that results do not depend on the number of threads


def fits(rows: int, e: int, k: int, dtype: Any) -> bool:
    """Return whether a product (rows, e) (e, k) is one of a few rows with a large matrix."""
    return (
        np.dtype(dtype) == np.float32
        and 0 < rows <= _ROWS
        and k % _STRIP == 0
        and e % 8 == 0
        and e * k >= 1 << 18
    )


def _even(rows: np.ndarray) -> np.ndarray:
    """Return the rows, and one of zeros if their number is odd."""
    return rows if len(rows) % 2 == 0 else np.pad(rows, ((0, 1), (0, 0)))


# ---------------------------------------------------------------------------------------------
# Forward


@kernel(writes="y")
def _add_rows(x, w, y, n, e, k, first, last):
    """Add ``x[:, first:last] @ w[first:last]`` to y; n is even."""
    for row in range(first, last, 8):
        for strip in range(0, k, _STRIP):
            for image in range(0, n, 2):
                base = image * k + strip
                sums = tile_load(2, 4, y, base, k)
                for r in range(row, row + 8):
                    sums = tile_fma(2, 4, sums, x, image * e + r, e, w, r * k + strip)
                tile_store(2, 4, sums, y, base, k)
            for r in range(row + 8, row + 16):  # the next rows of W
                for v in range(strip, strip + _STRIP, LANES):
                    prefetch(w, r * k + v)


def forward(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(N, E) @ (E, K)."""
    (n, e), k = x.shape, w.shape[1]
    x, parts = _even(x), ranges(e, _PARTS, 8)
    sums = np.zeros((len(parts), len(x), k), np.float32)
    flat_x, flat_w = x.reshape(-1), w.reshape(-1)

    def part(number: int) -> None:
        _add_rows(flat_x, flat_w, sums[number].reshape(-1), len(x), e, k, *parts[number])

    map_ordered(part, range(len(parts)))
    y = empty((n, k))
    np.sum(sums[:, :n], axis=0, out=y)
    return y


# ---------------------------------------------------------------------------------------------
# Gradient by the input


@kernel(writes="dx")
def _dot_rows(dy, w, dx, n, e, k, first, last):
    """``dx[:, first:last] = dy @ w[first:last].T``; n is even."""
    for row in range(first, last, 4):
        a, b, c, d = row * k, (row + 1) * k, (row + 2) * k, (row + 3) * k
        for image in range(0, n, 2):
            g, h = image * k, (image + 1) * k
            a0 = a1 = b0 = b1 = c0 = c1 = d0 = d1 = splat(0.0)
            for v in range(0, k, LANES):
                if image == 0:  # the next rows of W
                    for r in range(row + 4, row + 8):
                        prefetch(w, r * k + v)
                u0, u1 = load(dy, g + v), load(dy, h + v)
                w0, w1, w2, w3 = load(w, a + v), load(w, b + v), load(w, c + v), load(w, d + v)
                a0, a1 = fma(w0, u0, a0), fma(w0, u1, a1)
                b0, b1 = fma(w1, u0, b0), fma(w1, u1, b1)
                c0, c1 = fma(w2, u0, c0), fma(w2, u1, c1)
                d0, d1 = fma(w3, u0, d0), fma(w3, u1, d1)
            dx[image * e + row], dx[(image + 1) * e + row] = total(a0), total(a1)
            dx[image * e + row + 1], dx[(image + 1) * e + row + 1] = total(b0), total(b1)
            dx[image * e + row + 2], dx[(image + 1) * e + row + 2] = total(c0), total(c1)
            dx[image * e + row + 3], dx[(image + 1) * e + row + 3] = total(d0), total(d1)


def input_grad(dy: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(N, K) @ (E, K).T."""
    (n, k), e = dy.shape, w.shape[0]
    dy = _even(dy)
    dx = empty((len(dy), e))

    def part(edges: tuple[int, int]) -> None:
        _dot_rows(dy.reshape(-1), w.reshape(-1), dx.reshape(-1), len(dy), e, k, *edges)

    map_ordered(part, ranges(e, _PARTS, 8))
    return dx[:n]


# ---------------------------------------------------------------------------------------------
# Gradient by the weight


@kernel(writes="dw")
def _outer(x, dy, dw, n, e, k, first, last):
    """``dw[first:last] = x[:, first:last].T @ dy``."""
    for row in range(first, last, 4):
        for strip in range(0, k, _STRIP):
            sums = tile_zeros(4, 4)
            for image in range(n):
                sums = tile_fma(4, 4, sums, x, image * e + row, 1, dy, image * k + strip)
            tile_stream(4, 4, sums, dw, row * k + strip, k)


def weight_grad(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """(N, E).T @ (N, K)."""
    (n, e), k = x.shape, dy.shape[1]
    dw = empty((e, k))

    def part(edges: tuple[int, int]) -> None:
        _outer(x.reshape(-1), dy.reshape(-1), dw.reshape(-1), n, e, k, *edges)

    map_ordered(part, ranges(e, _PARTS, 8))
    return dw
