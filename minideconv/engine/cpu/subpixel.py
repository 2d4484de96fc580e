"""Transposed convolution of a stride above 1, as one product for each coarse pixel's whole tile.

    dx[p sh + r, q sw + s, c] = sum_{i, j, k} dy[p - i, q - j, k] W[i sh + r, j sw + s, c, k]

with 0 <= r < sh, 0 <= s < sw, 0 <= i < a, 0 <= j < b, and a x b strides in a kernel. So the
sh x sw pixels of one tile have the same a b K inputs, and are their product with one matrix:

    tiles = patches(dy) M        patches: (N P Q, a b K)        M: (a b K, sh sw C)

which is a convolution of stride 1. The readable pair computes kh kw C columns for each pixel of dy
and adds those that overlap; here every pixel is written once, and summed in the product. A kernel
that is no whole number of strides is filled up with zeros.

Source: Shi et al., "Is the deconvolution layer the same as a convolutional layer?" (2016),
section 3; Shi et al., "Real-time single image and video super-resolution using an efficient
sub-pixel convolutional neural network" (CVPR 2016), section 3.2.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu.bias import add_bias
from minideconv.engine.cpu.im2col_blocked import copy_patches, turned
from minideconv.engine.cpu.memory import empty, workspace
from minideconv.ops.im2col import Window

__all__ = ["fits", "input_grad"]

_BLOCK = 4 << 20  # bytes of tiles that stay in the cache until they are copied
_ROWS = 64  # coarse pixels that a product has at least, or M is read too often
_FILL = 2  # zeros are worth it up to so many times the kernel's entries


def fits(window: Window, c: int, k: int, dtype: Any) -> bool:
    """Return whether a stride is above 1, and the kernel dense and about whole strides large."""
    (kh, kw), (sh, sw), (a, b) = window.kernel, window.stride, _strides(window)
    if window.dilation != (1, 1) or (sh, sw) == (1, 1):
        return False
    return a * sh * b * sw <= _FILL * kh * kw


def input_grad(
    dy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window
) -> np.ndarray:
    """(N, H', W', K) * (kh, kw, C, K) -> (N, H, W, C)."""
    (sh, sw), c = window.stride, w.shape[2]
    matrix, coarse = _matrix(w, window), _coarse(window)
    p_count, q_count = coarse.out
    columns = matrix.shape[1]
    # Tiles cover the padded image, but for pixels behind the last window, which no tap meets.
    dx = empty((len(dy), *window.size, c), dy.dtype)
    rows = max(_BLOCK // (q_count * columns * dy.itemsize), -(-_ROWS // q_count))

    def compute(image: int) -> None:
        for first in range(0, p_count, rows):
            block = slice(first, min(first + rows, p_count))
            patches = copy_patches(dy[image : image + 1], coarse, block)
            tiles = workspace("tiles", (len(patches), columns), dy.dtype)
            np.matmul(patches, matrix, out=tiles)
            tiles = tiles.reshape(-1, q_count, sh, sw * c).swapaxes(1, 2)  # (p, sh, Q, sw C)
            _place(tiles, dx[image], first * sh - window.padding[0], window.padding[1], c)
        _clear(dx[image], p_count * sh - window.padding[0], q_count * sw - window.padding[1])

    map_ordered(compute, range(len(dy)))
    add_bias(dx.reshape(-1, c), bias)
    return dx


def _place(tiles: np.ndarray, image: np.ndarray, top: int, left: int, c: int) -> None:
    """Copy tiles (p, sh, Q, sw C) to rows from `top` on, less the `left` padding's columns."""
    p_count, sh, q_count, run = tiles.shape
    height, width = image.shape[:2]
    whole = left == 0 and top >= 0 and top + p_count * sh <= height and q_count * run == width * c
    if whole:  # one copy, of runs of sw C numbers
        image[top : top + p_count * sh].reshape(tiles.shape)[...] = tiles
        return
    first, last = max(top, 0), min(top + p_count * sh, height)
    if first >= last:
        return
    lines = workspace("lines", (p_count * sh, q_count * run // c, c), tiles.dtype)
    lines.reshape(tiles.shape)[...] = tiles
    there = lines[first - top : last - top, left : left + width]
    image[first:last, : there.shape[1]] = there


def _clear(image: np.ndarray, height: int, width: int) -> None:
    """Set the pixels to zero that are in no tile."""
    image[max(height, 0) :] = 0
    image[:, max(width, 0) :] = 0


@lru_cache(256)
def _coarse(window: Window) -> Window:
    """Return the convolution of stride 1 that gives every tile."""
    size, (a, b) = window.out, _strides(window)
    # `turned` asks for the convolution whose input gradient this is.
    tiles = (size[0] + a - 1, size[1] + b - 1)
    return turned(Window(tiles, (a, b), (1, 1), (0, 0), (1, 1), size))


def _strides(window: Window) -> tuple[int, int]:
    """Return (a, b), how many strides the kernel is high and wide, rounded up."""
    (kh, kw), (sh, sw) = window.kernel, window.stride
    return -(-kh // sh), -(-kw // sw)


def _matrix(w: np.ndarray, window: Window) -> np.ndarray:
    """(kh, kw, C, K) -> M (a b K, sh sw C), the strides in the order of a patch: turned."""
    (kh, kw), (sh, sw), (a, b) = window.kernel, window.stride, _strides(window)
    c, k = w.shape[2:]
    if (kh, kw) != (a * sh, b * sw):
        filled = np.zeros((a * sh, b * sw, c, k), w.dtype)
        filled[:kh, :kw] = w
        w = filled
    taps = w.reshape(a, sh, b, sw, c, k)[::-1, :, ::-1]
    matrix = empty((a * b * k, sh * sw * c), w.dtype)
    matrix.reshape(a, b, k, sh, sw, c)[...] = taps.transpose(0, 2, 5, 1, 3, 4)
    return matrix
