"""Depthwise convolution: every channel by itself, tap by tap, as products of whole images.

    y[p, q, c] = b[c] + sum_{i, j} x[p sh + i dh - ph, q sw + j dw - pw, c] W[i, j, c]

There is no sum over channels, so there is nothing for a matrix product to do: the readable pair
makes a patch matrix for each channel, and multiplies it by one row. Here the pixels under one tap
are one strided view of the image, and each tap is a product and a sum, number by number, of blocks
of rows that stay in the cache. The gradients are the same views, read in the other direction:

    dx[p sh + i dh - ph, q sw + j dw - pw, c] += dy[p, q, c] W[i, j, c]
    dW[i, j, c] = sum_{p, q} x[p sh + i dh - ph, q sw + j dw - pw, c] dy[p, q, c]

Source: Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
applications" (2017), section 3.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu.crop import crop
from minideconv.engine.cpu.memory import empty
from minideconv.engine.cpu.parts import ranges
from minideconv.ops.im2col import Window

__all__ = ["forward", "input_grad", "weight_grad"]

_BLOCK = 1 << 18  # bytes of output rows that stay in the cache over all taps
_PARTS = 8  # fixed, so that results do not depend on the number of threads


def _tap(window: Window, i: int, j: int, rows: int, columns: int) -> tuple[slice, slice]:
    """Return where the pixels under a tap are, in a padded image that begins with the first row."""
    (sh, sw), (dh, dw) = window.stride, window.dilation
    return (
        slice(i * dh, i * dh + (rows - 1) * sh + 1, sh),
        slice(j * dw, j * dw + (columns - 1) * sw + 1, sw),
    )


def _bands(window: Window, c: int, itemsize: int) -> list[tuple[int, int]]:
    """Cut the output rows into bands (first, last)."""
    ho, wo = window.out
    rows = max(1, _BLOCK // max(1, wo * c * itemsize))
    return [(first, min(first + rows, ho)) for first in range(0, ho, rows)]


def _padded(x: np.ndarray, window: Window, first: int, last: int) -> np.ndarray:
    """Return the rows of one image (1, H, W, C) that a band needs, with zeros around."""
    (kh, kw), (sh, sw), (dh, dw) = window.kernel, window.stride, window.dilation
    size = (
        (last - first - 1) * sh + (kh - 1) * dh + 1,
        (window.out[1] - 1) * sw + (kw - 1) * dw + 1,
    )
    begin = (first * sh - window.padding[0], -window.padding[1])
    return crop(x, begin, size)


def forward(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window) -> np.ndarray:
    """(N, H, W, C) * (kh, kw, C) -> (N, H', W', C)."""
    (kh, kw), (ho, wo), c = window.kernel, window.out, x.shape[3]
    y = empty((len(x), ho, wo, c), x.dtype)

    def band(unit: tuple[int, int, int]) -> None:
        image, first, last = unit
        block = y[image, first:last]
        block[...] = 0 if bias is None else bias
        source = _padded(x[image : image + 1], window, first, last)[0]
        product = np.empty_like(block)
        for i in range(kh):
            for j in range(kw):
                np.multiply(source[_tap(window, i, j, last - first, wo)], w[i, j], out=product)
                block += product

    bands = _bands(window, c, x.itemsize)
    map_ordered(band, [(image, *edges) for image in range(len(x)) for edges in bands])
    return y


def input_grad(
    dy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window
) -> np.ndarray:
    """(N, H', W', C) * (kh, kw, C) -> (N, H, W, C)."""
    (kh, kw), (ho, wo), (h, wide), c = window.kernel, window.out, window.size, dy.shape[3]
    (ph, pw), (sh, sw), (dh, dw) = window.padding, window.stride, window.dilation
    height = max(h + 2 * ph, (ho - 1) * sh + (kh - 1) * dh + 1)
    width = max(wide + 2 * pw, (wo - 1) * sw + (kw - 1) * dw + 1)
    dx = empty((len(dy), h, wide, c), dy.dtype)

    def image(number: int) -> None:
        padded = np.zeros((height, width, c), dy.dtype)
        for i in range(kh):
            for j in range(kw):
                padded[_tap(window, i, j, ho, wo)] += dy[number] * w[i, j]
        dx[number] = padded[ph : ph + h, pw : pw + wide]
        if bias is not None:
            dx[number] += bias

    map_ordered(image, range(len(dy)))
    return dx


def weight_grad(x: np.ndarray, dy: np.ndarray, window: Window) -> np.ndarray:
    """(N, H, W, C), (N, H', W', C) -> (kh, kw, C)."""
    (kh, kw), (_, wo), c = window.kernel, window.out, x.shape[3]
    bands = [(n, *edges) for n in range(len(x)) for edges in _bands(window, c, x.itemsize)]

    def part(edges: tuple[int, int]) -> Any:
        total = np.zeros((kh, kw, c), x.dtype)
        for image, first, last in bands[slice(*edges)]:
            source = _padded(x[image : image + 1], window, first, last)[0]
            block = dy[image, first:last]
            for i in range(kh):
                for j in range(kw):
                    pixels = source[_tap(window, i, j, last - first, wo)]
                    total[i, j] += np.einsum("pqc,pqc->c", pixels, block)
        return total

    dw = empty((kh, kw, c), x.dtype)
    dw[...] = np.sum(map_ordered(part, ranges(len(bands), _PARTS)), axis=0)
    return dw
