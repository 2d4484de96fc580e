"""im2col on channels-last images, in blocks that stay in the cache: NumPy alone, any geometry.

The readable pair in `ops` lays windows out as columns, (C kh kw) numbers long. Here they are rows:

    y = patches(x) W + b        patches: (pixels, kh kw C)        W: (kh kw C, K)

With channels last, the part of a window in one row of the image is one run of kw C
numbers (dilation 1), and a whole block of patches is one copy of a strided view. A block is as many
output rows, or as many small images, as fill `_BLOCK` bytes, at least one row: it is multiplied
while it is still in the cache, and small images together make one matrix that BLAS likes.

    dW = patches(x)^T dY
    dX = patches(dY) W'         W': turned by 180 degrees, channels exchanged; for stride 1

Source: Chellapilla, Puri, Simard, "High performance convolutional neural networks for document
processing" (2006), section 4; for the blocks: Cho, Brand, "MEC: memory-efficient convolution for
deep neural network" (ICML 2017), section 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu.bias import add_bias
from minideconv.engine.cpu.crop import crop
from minideconv.engine.cpu.memory import empty, workspace
from minideconv.engine.cpu.parts import slices
from minideconv.ops.im2col import Window

__all__ = ["copy_patches", "fits", "forward", "input_grad", "turned", "weight_grad"]

_BLOCK = 2 << 20  # bytes of patches
_PARTS = 8  # fixed, so that results do not depend on the number of threads
_SMALL = 1e8  # floating point operations that are not worth handing to a worker

Part = tuple[slice, slice]
"""Some images and some output rows of them; all rows if there are several images."""


def fits(window: Window, c: int, k: int, dtype: Any) -> bool:
    """Return True: any geometry and precision; but `input_grad` needs stride 1."""
    return True


def forward(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window) -> np.ndarray:
    """(N, H, W, C) * (kh, kw, C, K) -> (N, H', W', K)."""
    k = w.shape[3]
    matrix = w.reshape(-1, k)
    y = empty((len(x), *window.out, k), x.dtype)

    def multiply(part: Part) -> None:
        for images, rows, patches in _patches(x, window, part):
            block = y[images, rows].reshape(-1, k)  # a view
            np.matmul(patches, matrix, out=block)
            add_bias(block, bias)

    map_ordered(multiply, _parts(len(x), window, matrix.size))
    return y


def input_grad(
    dy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window
) -> np.ndarray:
    """(N, H', W', K) * (kh, kw, C, K) -> (N, H, W, C), for stride 1."""
    return forward(dy, np.ascontiguousarray(w[::-1, ::-1].swapaxes(2, 3)), bias, turned(window))


def turned(window: Window) -> Window:
    """Return the window of `input_grad` as a convolution of dy, for stride 1.

    A pixel of x meets tap i of the window that starts i pixels before it, so the weight is turned
    by 180 degrees, and what was padding p is now padding (kernel extent - 1 - p).
    """
    (kh, kw), (ph, pw), (dh, dw) = window.kernel, window.padding, window.dilation
    padding = (dh * (kh - 1) - ph, dw * (kw - 1) - pw)
    return Window(window.out, window.kernel, (1, 1), padding, window.dilation, window.size)


def weight_grad(x: np.ndarray, dy: np.ndarray, window: Window) -> np.ndarray:
    """(N, H, W, C), (N, H', W', K) -> (kh, kw, C, K)."""
    (kh, kw), c, k = window.kernel, x.shape[3], dy.shape[3]

    def correlate(part: Part) -> np.ndarray:
        total = np.zeros((kh * kw * c, k), x.dtype)
        for images, rows, patches in _patches(x, window, part):
            total += patches.T @ dy[images, rows].reshape(-1, k)
        return total

    parts = map_ordered(correlate, _parts(len(x), window, kh * kw * c * k))
    dw = empty((kh, kw, c, k), x.dtype)
    np.sum(parts, axis=0, out=dw.reshape(-1, k))
    return dw


# ---------------------------------------------------------------------------------------------
# Parts for the workers, and their blocks of patches


def _parts(n: int, window: Window, weights: int) -> list[Part]:
    """Cut the images, or the rows of each image if there are few, into parts of equal size."""
    ho, wo = window.out
    if 2.0 * n * ho * wo * weights < _SMALL:
        return [(slice(0, n), slice(0, ho))]
    if n >= _PARTS:
        return [(images, slice(0, ho)) for images in slices(n, _PARTS)]
    pieces = slices(ho, -(-_PARTS // max(n, 1)))
    return [(slice(i, i + 1), rows) for i in range(n) for rows in pieces]


def _patches(
    x: np.ndarray, window: Window, part: Part
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Yield blocks of a part: images, rows, and their patches (pixels, kh kw C)."""
    (kh, kw), (_, wo), c = window.kernel, window.out, x.shape[3]
    images, rows = part
    count = max(1, _BLOCK // (wo * kh * kw * c * x.itemsize))  # rows in a block
    height = rows.stop - rows.start
    together = max(1, count // max(height, 1))  # images in a block
    for i in range(images.start, images.stop, together):
        some = slice(i, min(i + together, images.stop))
        for p in range(rows.start, rows.stop, count):
            block = slice(p, min(p + count, rows.stop))
            yield some, block, copy_patches(x[some], window, block)


def copy_patches(x: np.ndarray, window: Window, rows: slice) -> np.ndarray:
    """Copy the windows of the output `rows` of all images, one patch after the other."""
    (kh, kw), (sh, sw), (dh, dw) = window.kernel, window.stride, window.dilation
    (n, _, _, c), wo, r = x.shape, window.out[1], rows.stop - rows.start
    first = (rows.start * sh - window.padding[0], -window.padding[1])
    x = crop(x, first, ((r - 1) * sh + dh * (kh - 1) + 1, (wo - 1) * sw + dw * (kw - 1) + 1))
    image, row = x.strides[:2]  # a stride along an axis of length 1 may be anything
    pixel, number = c * x.itemsize, x.itemsize
    shape: tuple[int, ...] = (n, r, wo, kh, kw, c)
    strides: tuple[int, ...] = (image, sh * row, sw * pixel, dh * row, dw * pixel, number)
    if dw == 1:  # taps in a row are neighbours in memory
        shape, strides = (*shape[:4], kw * c), (*strides[:4], number)
    patches = workspace("patches", shape, x.dtype)
    patches[...] = as_strided(x, shape, strides, writeable=False)
    return patches.reshape(n * r * wo, kh * kw * c)
