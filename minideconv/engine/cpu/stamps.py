"""Transposed convolution to one or a few channels: all stamps of a block by one product, then sums.

A pixel of dy stamps K kernels, each times a number, onto the image. With few channels the sum of
these K stamps is small, kh kw C numbers:

    stamps = W (kh kw C, K)  dY^T (K, pixels)        dX[p + tap] += stamps[tap, p]

The other algorithms let vectors run over the channels of the result, of which there is one here.
This one lets them run over pixels: the product is a large one, and each tap is added as whole rows.
It is `ops.conv.conv_transpose2d_core` in another order, in blocks that stay in the cache.

Convolutional sparse coding makes an image from 32 to 100 maps in this way.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu.bias import add_bias
from minideconv.engine.cpu.memory import empty, workspace
from minideconv.engine.cpu.parts import ranges
from minideconv.ops.im2col import Window

__all__ = ["fits", "input_grad"]

_BLOCK = 2 << 20  # bytes of stamps
_PARTS = 8  # fixed, so that results do not depend on the number of threads
_SMALL = 1e8  # floating point operations that are not worth handing to a worker
_MAPS = 32  # at least
_CHANNELS = 3  # at most: with more, the sums take longer than the product saves


def fits(window: Window, c: int, k: int, dtype: Any) -> bool:
    """Return whether `input_grad` pays: stride 1, few channels of the result, many of dy."""
    return window.stride == (1, 1) and c <= _CHANNELS and k >= _MAPS


def input_grad(
    dy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window
) -> np.ndarray:
    """(N, H', W', K) * (kh, kw, C, K) -> (N, H, W, C), for stride 1."""
    n, ho, wo, _ = dy.shape
    (ph, pw), (h, width) = window.padding, window.size
    size = (h + 2 * ph, width + 2 * pw)
    small = 2.0 * ho * wo * w.size < _SMALL
    parts = ranges(ho, 1 if small else _PARTS)
    y = empty((n, h, width, w.shape[2]), dy.dtype)
    for image in range(n):
        sums = map_ordered(partial(_stamped, dy[image], w, window), parts)
        whole = np.zeros((w.shape[2], *size), dy.dtype)
        for (first, _), part in zip(parts, sums, strict=True):
            whole[:, first : first + part.shape[1], : part.shape[2]] += part
        y[image] = whole[:, ph : ph + h, pw : pw + width].transpose(1, 2, 0)
    add_bias(y.reshape(-1, y.shape[3]), bias)
    return y


def _stamped(dy: np.ndarray, w: np.ndarray, window: Window, part: tuple[int, int]) -> np.ndarray:
    """Return what rows `part` of dy (H', W', K) stamp: (C, their rows and those below, width)."""
    (kh, kw), (dh, dw) = window.kernel, window.dilation
    (first, last), wo, c = part, dy.shape[1], w.shape[2]
    matrix = w.reshape(-1, w.shape[3])
    shape = (c, last - first + dh * (kh - 1), wo + dw * (kw - 1))
    result = np.zeros(shape, dy.dtype)
    step = max(1, _BLOCK // (wo * len(matrix) * dy.itemsize))  # rows in a block
    for top in range(first, last, step):
        rows = min(top + step, last) - top
        stamps = workspace("stamps", (len(matrix), rows * wo), dy.dtype)
        np.matmul(matrix, dy[top : top + rows].reshape(rows * wo, -1).T, out=stamps)
        taps = stamps.reshape(kh, kw, c, rows, wo)
        for i in range(kh):
            for j in range(kw):
                down, right = top - first + i * dh, j * dw
                result[:, down : down + rows, right : right + wo] += taps[i, j]
    return result
