"""Kernels larger than 3x3 in pieces of 3x3, which one convolution of more channels adds up.

Padded with zeros to 3a x 3b taps, a kernel is a x b pieces of 3x3:

    y[p] = sum_{g, i} x[p + 3 g + i - ph] W[3 g + i]    along one axis, g < a, i < 3

Piece g sees the image 3 g rows further on. Laid side by side as channels, the a x b shifted images
make one image of a b C channels, and the pieces one kernel:

    gathered     y = conv3x3(shifted x, pieces)          a b C -> K channels

Under Winograd's F(4x4, 3x3) a piece costs 2.25 products a pixel: a 5x5 kernel 9 in place of 25, a
7x7 kernel 20 in place of 49. The price are the transforms of a b times the channels (`pays`). The
transpose of all this is the gradient by the input, where the shifted images are added up:

    scattered    dx = sum of the shifted parts of conv_transpose3x3(dy, pieces)     K -> a b C

A convolution is the gradient of one whose kernel is turned by 180 degrees, with C and K exchanged,
so that each of the three passes can have the copies on the side with fewer channels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minideconv.engine.cpu.algorithm import Algorithm
from minideconv.engine.cpu.im2col_blocked import turned
from minideconv.engine.cpu.memory import empty
from minideconv.ops.geometry import Pair
from minideconv.ops.im2col import Window

__all__ = ["count", "fits", "forward", "input_grad", "of_pieces", "pays", "weight_grad"]

_TRANSFORM = 140  # products that take as long as one channel of a pixel to the tiles and back


def fits(window: Window, c: int, k: int, dtype: np.dtype) -> bool:
    """Return whether the kernel is larger than 3x3, of stride 1, without gaps."""
    (kh, kw), ones = window.kernel, (1, 1)
    return min(kh, kw) > 3 and window.stride == window.dilation == ones


def count(window: Window) -> int:
    """Return how many pieces a kernel has."""
    kh, kw = window.kernel
    return -(-kh // 3) * -(-kw // 3)


@lru_cache(1024)
def of_pieces(window: Window) -> Window:
    """Return the window of the 3x3 convolution of the shifted images."""
    ho, wo = window.out
    return Window((ho + 2, wo + 2), (3, 3), (1, 1), (0, 0), (1, 1), window.out)


def pays(window: Window, c: int, k: int) -> bool:
    """Return whether the products saved take longer than the transforms of the pieces."""
    (kh, kw), pieces = window.kernel, count(window)
    few, many = min(c, k), max(c, k)
    saved = (kh * kw - 2.25 * pieces) * few * many
    return saved > _TRANSFORM * (pieces * few + many)


def _shifts(window: Window) -> list[Pair]:
    kh, kw = window.kernel
    return [(i, j) for i in range(0, kh, 3) for j in range(0, kw, 3)]


def _meet(window: Window, shift: Pair) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the pixels of x that a piece sees, and where they are in its shifted image."""
    inside, into = [], []
    for axis in range(2):
        first = shift[axis] - window.padding[axis]  # the pixel of x that stands at 0
        start = max(first, 0)
        end = max(min(window.size[axis], first + window.out[axis] + 2), start)
        inside.append(slice(start, end))
        into.append(slice(start - first, end - first))
    return (inside[0], inside[1]), (into[0], into[1])


def _pieces(w: np.ndarray, window: Window) -> np.ndarray:
    """(kh, kw, C, K) -> (3, 3, a b C, K)."""
    c, k = w.shape[2:]
    shifts = _shifts(window)
    made = np.zeros((3, 3, len(shifts), c, k), w.dtype)
    for g, (i, j) in enumerate(shifts):
        taps = w[i : i + 3, j : j + 3]
        made[: taps.shape[0], : taps.shape[1], g] = taps
    return made.reshape(3, 3, -1, k)


def _shifted(x: np.ndarray, window: Window) -> np.ndarray:
    """(N, H, W, C) -> (N, H' + 2, W' + 2, a b C)."""
    (n, *_, c), size, shifts = x.shape, of_pieces(window).size, _shifts(window)
    made = empty((n, *size, len(shifts), c), x.dtype)
    for g, shift in enumerate(shifts):
        (rows, columns), (into_rows, into_columns) = _meet(window, shift)
        image = made[:, :, :, g]
        image[:, into_rows, into_columns] = x[:, rows, columns]
        image[:, : into_rows.start] = image[:, into_rows.stop :] = 0
        image[:, :, : into_columns.start] = image[:, :, into_columns.stop :] = 0
    return made.reshape(n, *size, len(shifts) * c)


def _gathered(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window, by: Algorithm
) -> np.ndarray:
    y: np.ndarray = by.forward(_shifted(x, window), _pieces(w, window), bias, of_pieces(window))
    return y


def _scattered(
    dy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window, by: Algorithm
) -> np.ndarray:
    c, shifts = w.shape[2], _shifts(window)
    parts = by.input_grad(dy, _pieces(w, window), None, of_pieces(window))
    parts = parts.reshape(*parts.shape[:3], len(shifts), c)
    dx = empty((len(dy), *window.size, c), dy.dtype)
    dx[...] = 0 if bias is None else bias
    for g, shift in enumerate(shifts):
        (rows, columns), (from_rows, from_columns) = _meet(window, shift)
        dx[:, rows, columns] += parts[:, from_rows, from_columns, g]
    return dx


def _exchanged(w: np.ndarray) -> np.ndarray:
    return w[::-1, ::-1].transpose(0, 1, 3, 2)


def forward(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window, by: Algorithm
) -> np.ndarray:
    """(N, H, W, C) * (kh, kw, C, K) -> (N, H', W', K)."""
    c, k = w.shape[2:]
    if c <= k:
        return _gathered(x, w, bias, window, by)
    return _scattered(x, _exchanged(w), bias, turned(window), by)


def input_grad(
    dy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window, by: Algorithm
) -> np.ndarray:
    """(N, H', W', K) * (kh, kw, C, K) -> (N, H, W, C)."""
    c, k = w.shape[2:]
    if c <= k:
        return _scattered(dy, w, bias, window, by)
    return _gathered(dy, _exchanged(w), bias, turned(window), by)


def weight_grad(x: np.ndarray, dy: np.ndarray, window: Window, by: Algorithm) -> np.ndarray:
    """(N, H, W, C), (N, H', W', K) -> (kh, kw, C, K)."""
    c, k = x.shape[3], dy.shape[3]
    if c > k:
        return np.ascontiguousarray(_exchanged(weight_grad(dy, x, turned(window), by)))
    shifts, (kh, kw) = _shifts(window), window.kernel
    pieces = by.weight_grad(_shifted(x, window), dy, of_pieces(window))
    pieces = pieces.reshape(3, 3, len(shifts), c, k)
    dw = empty((kh, kw, c, k), x.dtype)
    for g, (i, j) in enumerate(shifts):
        taps = dw[i : i + 3, j : j + 3]
        taps[...] = pieces[: taps.shape[0], : taps.shape[1], g]
    return dw
