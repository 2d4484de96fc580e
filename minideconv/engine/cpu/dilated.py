"""Dilated convolution by its phases: dilation d is d x d convolutions without one, side by side.

    y[p] = sum_i x[p + i d - ph] W[i]          along one axis, stride 1

Rows p with the same remainder r = p mod d look only at rows of x of one remainder. With
ph = d q + e and p = d a + r,

    y[d a + r] = sum_i x[d (a + i - q) + (r - e)] W[i]

is an ordinary convolution, of padding q, on the image of rows t -> x[d t + r - e] (zero outside x).
So both images are cut into their dh x dw phases, which become images of one batch; each algorithm
for kernels without gaps can then be used, Winograd's among them. Every pixel is copied twice, once
in and once out.

The same cut serves the gradients: the one by the input runs backwards, and the one by the weight is
a sum over all images of a batch anyhow.

Source: Yu and Koltun, "Multi-scale context aggregation by dilated convolutions" (ICLR 2016),
section 2, for the operation; the cut is "space to batch" in TensorFlow.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minideconv.engine.cpu.algorithm import Algorithm
from minideconv.engine.cpu.memory import empty
from minideconv.ops.geometry import Pair
from minideconv.ops.im2col import Window

__all__ = ["dense", "fits", "forward", "input_grad", "weight_grad"]


def fits(window: Window, c: int, k: int, dtype: np.dtype) -> bool:
    """Return whether this is of stride 1 and has gaps."""
    return window.stride == (1, 1) != window.dilation


@lru_cache(1024)
def dense(window: Window) -> Window:
    """Return the window of every phase: the same kernel, without gaps."""
    kernel, dilation = window.kernel, window.dilation
    sizes, paddings, outs = [], [], []
    for axis in range(2):
        d, p = dilation[axis], window.padding[axis]
        out = -(-window.out[axis] // d)
        padding, shift = divmod(p, d)
        size = -(-(window.size[axis] + shift) // d)
        # The last windows end at most `padding` rows below the image, as in any convolution.
        sizes.append(max(size, out + kernel[axis] - 1 - 2 * padding))
        paddings.append(padding)
        outs.append(out)
    return Window(_pair(sizes), kernel, (1, 1), _pair(paddings), (1, 1), _pair(outs))


def _pair(numbers: list[int]) -> Pair:
    first, second = numbers
    return first, second


# ---------------------------------------------------------------------------------------------
# Cutting into phases, and back


def _phases(window: Window) -> list[tuple[int, int]]:
    return [(r, s) for r in range(window.dilation[0]) for s in range(window.dilation[1])]


def _span(size: int, r: int, d: int, shift: int) -> tuple[slice, slice]:
    """Return which pixels of an axis are phase r's, and where they stand in it: x[d t + r - e]."""
    first = 1 if r < shift else 0  # t = 0 is before the image
    pixels = range(d * first + r - shift, size, d)
    return slice(pixels.start, size, d), slice(first, first + len(pixels))


def _split(x: np.ndarray, window: Window, size: Pair, shift: Pair) -> np.ndarray:
    """(N, H, W, C) -> (N dh dw, *size, C), zeros where a phase has no pixels."""
    (n, h, w, c), (dh, dw) = x.shape, window.dilation
    cut = empty((n, dh, dw, *size, c), x.dtype)
    for r, s in _phases(window):
        rows, into_rows = _span(h, r, dh, shift[0])
        columns, into_columns = _span(w, s, dw, shift[1])
        phase = cut[:, r, s]
        phase[:, into_rows, into_columns] = x[:, rows, columns]
        phase[:, : into_rows.start] = phase[:, into_rows.stop :] = 0
        phase[:, :, : into_columns.start] = phase[:, :, into_columns.stop :] = 0
    return cut.reshape(n * dh * dw, *size, c)


def _join(cut: np.ndarray, window: Window, size: Pair, shift: Pair) -> np.ndarray:
    """(N dh dw, H', W', C) -> (N, *size, C): every pixel from its phase."""
    (dh, dw), c = window.dilation, cut.shape[3]
    cut = cut.reshape(-1, dh, dw, *cut.shape[1:])
    x = empty((len(cut), *size, c), cut.dtype)
    for r, s in _phases(window):
        rows, from_rows = _span(size[0], r, dh, shift[0])
        columns, from_columns = _span(size[1], s, dw, shift[1])
        x[:, rows, columns] = cut[:, r, s, from_rows, from_columns]
    return x


def _shift(window: Window) -> Pair:
    (ph, pw), (dh, dw) = window.padding, window.dilation
    return ph % dh, pw % dw


# ---------------------------------------------------------------------------------------------
# The three passes, by another algorithm's


def forward(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window, by: Algorithm
) -> np.ndarray:
    """(N, H, W, C) * (kh, kw, C, K) -> (N, H', W', K)."""
    coarse = dense(window)
    y = by.forward(_split(x, window, coarse.size, _shift(window)), w, bias, coarse)
    return _join(y, window, window.out, (0, 0))


def input_grad(
    dy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window, by: Algorithm
) -> np.ndarray:
    """(N, H', W', K) * (kh, kw, C, K) -> (N, H, W, C)."""
    coarse = dense(window)
    dx = by.input_grad(_split(dy, window, coarse.out, (0, 0)), w, bias, coarse)
    return _join(dx, window, window.size, _shift(window))


def weight_grad(x: np.ndarray, dy: np.ndarray, window: Window, by: Algorithm) -> np.ndarray:
    """(N, H, W, C), (N, H', W', K) -> (kh, kw, C, K)."""
    coarse = dense(window)
    images = _split(x, window, coarse.size, _shift(window))
    dw: np.ndarray = by.weight_grad(images, _split(dy, window, coarse.out, (0, 0)), coarse)
    return dw
