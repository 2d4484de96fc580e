"""Transposed convolution of a stride above 1, by its phases: no zeros between, nothing added twice.

    dx[u, v, c] = b[c] + sum_{i, j, k} dy[p, q, k] W[i, j, c, k]    with u + ph = p sh + i,
                                                                         v + pw = q sw + j

Rows u with the same remainder r = (u + ph) mod sh meet the same taps (`engine.phases`): they are
the output of a convolution of stride 1 with this part of the kernel, and a transposed convolution
is sh such convolutions that write every sh-th row. The same holds for columns; there the sw pixels
of one stride lie side by side in memory, channels last, so that they are taken as one pixel of sw C
channels: more channels make fuller vectors (21 classes fill 21 of 32 lanes, 8 times 21 fill 168 of
176), and rows are written in long runs. Where the padding cuts through such a pixel, the part of it
that is inside is written.

The gradient by the input of a convolution with a stride is the same function.

Source: Shi et al., "Is the deconvolution layer the same as a convolutional layer?" (2016),
section 3. `subpixel` is the same in NumPy, with one product for all phases of rows.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minideconv.engine.cpu.compiled import direct
from minideconv.engine.cpu.compiled.direct import Place
from minideconv.engine.cpu.compiled.vectors import LANES
from minideconv.engine.cpu.memory import empty
from minideconv.engine.phases import inside, split
from minideconv.ops.im2col import Window

__all__ = ["fits", "input_grad"]


def fits(window: Window, c: int, k: int, dtype: Any) -> bool:
    """Return whether this is float32, of a stride above 1, and the kernel dense."""
    return direct.fits(window, c, k, dtype) and window.dilation == (1, 1) != window.stride


def input_grad(
    dy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window
) -> np.ndarray:
    """(N, H', W', K) * (kh, kw, C, K) -> (N, H, W, C)."""
    (kh, _), (sh, sw), (ph, pw) = window.kernel, window.stride, window.padding
    (h, wide), c = window.size, w.shape[2]
    dx = empty((len(dy), h, wide, c))
    line = wide * c
    for r, a in ((r, a) for first, count, a in split(kh, sh) for r in range(first, first + count)):
        rows = inside(r, 1, sh, ph, h)
        if not rows:
            continue
        u = rows.start * sh + r - ph
        for s, pixels, b in _groups(window, c):
            columns = inside(s, pixels, sw, pw, wide)
            if not columns:
                continue
            if not a * b:  # no tap meets these pixels
                _fill(dx[:, u::sh], bias, range(s - pw, s - pw + pixels), sw)
                continue
            # Turned by 180 degrees: the last tap of a window is the first pixel's.
            padding = (a - 1 - rows.start, b - 1 - columns.start)
            out = (len(rows), len(columns))
            coarse = Window(window.out, (a, b), (1, 1), padding, (1, 1), out)
            shift = (columns.start * sw + s - pw) * c
            place = Place(u * line, h * line, sh * line, sw * c, shift, line)
            repeated = None if bias is None else np.tile(bias, pixels)
            direct.into(dy, _matrix(w, r, s, (a, b, pixels), window), repeated, coarse, dx, place)
    return dx


@lru_cache(256)
def _groups(window: Window, c: int) -> tuple[tuple[int, int, int], ...]:
    """Return groups of neighbouring columns of a stride: the first, how many, and their taps.

    A kernel that is no whole number of strides wide has one tap more in the first columns than in
    the rest. They are one group, filled up with taps of zero, if that takes no more vectors.
    """
    sw = window.stride[1]
    runs = split(window.kernel[1], sw)

    def vectors(columns: int, taps: int) -> int:
        return taps * -(-columns * c // LANES)

    most = runs[0][2]
    filled = vectors(sw, most) <= sum(vectors(columns, taps) for _, columns, taps in runs)
    return ((0, sw, most),) if filled else runs


def _fill(rows: np.ndarray, bias: np.ndarray | None, columns: range, sw: int) -> None:
    """Set columns, and those that are whole strides behind them, to the bias or zero."""
    for first in columns:
        rows[:, :, first % sw if first < 0 else first :: sw] = 0 if bias is None else bias


def _matrix(
    w: np.ndarray, r: int, s: int, size: tuple[int, int, int], window: Window
) -> np.ndarray:
    """Return a phase's weights, (a b K, columns C), turned."""
    (sh, sw), kw, (c, k), (a, b, columns) = window.stride, w.shape[1], w.shape[2:], size
    matrix = empty((a * b * k, columns * c))
    into = matrix.reshape(a, b, k, columns, c)[::-1, ::-1]
    for j in range(b):
        there = max(0, min(columns, kw - j * sw - s))
        taps = w[r::sh, j * sw + s : j * sw + s + there]
        into[:, j, :, :there] = taps.transpose(0, 3, 1, 2)
        into[:, j, :, there:] = 0
    return matrix
