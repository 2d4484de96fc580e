r"""Bilinear resizing of images stored channels last: a few neighbours for each pixel.

A row of the matrices A in `ops.interpolate` has few numbers that are not 0: two where an image is
enlarged; of the transposed matrix, for backward, twice as many as the image was enlarged. With
these *taps* k, an axis is resized by

    y[i] = \sum_k A[i, j_k(i)] x[j_k(i)]

for whole pixels or lines at once, block by block, one image for each thread. The reference
multiplies each channel's plane by the whole matrix, and returns planes: the layers around it would
turn every image over, twice in a step. Here a pixel that is infinite or NaN spoils only what it is
a neighbour of.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu.memory import empty, workspace
from minideconv.engine.layout import from_channels_last
from minideconv.ops.interpolate import resample as reference

__all__ = ["resample"]

BLOCK = 1 << 17  # numbers in a block: it, and a tap of it, stay in the cache


def _fits(x: np.ndarray) -> bool:
    """Whether `x` (N, C, H, W) is stored channels last and has several channels."""
    return x.shape[1] > 1 and x.size > 0 and x.transpose(0, 2, 3, 1).flags.c_contiguous


class _Taps(NamedTuple):
    """The numbers of a matrix that are not 0: (rows, K) columns, and what stands there."""

    columns: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray) -> _Taps:
        count = max(1, int(np.count_nonzero(matrix, axis=1).max()))
        # The first columns of a stable order are those of the numbers, from left to right.
        columns = np.argsort(matrix == 0, axis=1, kind="stable")[:, :count]
        return cls(columns, np.take_along_axis(matrix, columns, axis=1))


@reference.faster("cpu")
def resample(x: np.ndarray, a_h: np.ndarray, a_w: np.ndarray) -> np.ndarray | None:
    """Return `ops.interpolate.resample`, channels last; None if `x` is stored otherwise."""
    if not _fits(x) or min(a_h.size, a_w.size) == 0:
        return None
    n, c, height, width = x.shape
    pixels = x.transpose(0, 2, 3, 1)
    y = empty((n, len(a_h), len(a_w), c), x.dtype)
    lines, columns = _Taps.of(a_h), _Taps.of(a_w)
    columns_first = len(a_w) >= width  # in the smaller of two images

    def compute(image: int) -> None:
        if columns_first:
            between = workspace("between", (height, len(a_w), c), x.dtype)
            _resize_columns(pixels[image], columns, between)
            _resize_lines(between, lines, y[image])
        else:
            between = workspace("between", (len(a_h), width, c), x.dtype)
            _resize_lines(pixels[image], lines, between)
            _resize_columns(between, columns, y[image])

    map_ordered(compute, range(n))
    return from_channels_last(y)


def _resize_lines(x: np.ndarray, taps: _Taps, y: np.ndarray) -> None:
    """(H, W, C) -> (H', W, C)."""
    for block in _blocks(y):
        weights = taps.weights[block, :, None, None]
        _add_up(x, taps.columns[block], weights, 0, y[block])


def _resize_columns(x: np.ndarray, taps: _Taps, y: np.ndarray) -> None:
    """(H, W, C) -> (H, W', C)."""
    weights = taps.weights[:, :, None]
    for block in _blocks(y):
        _add_up(x[block], taps.columns, weights, 1, y[block])


def _add_up(
    x: np.ndarray, columns: np.ndarray, weights: np.ndarray, axis: int, y: np.ndarray
) -> None:
    np.take(x, columns[:, 0], axis, out=y, mode="clip")
    y *= weights[:, 0]
    more = workspace("tap", y.shape, y.dtype)
    for k in range(1, columns.shape[1]):
        np.take(x, columns[:, k], axis, out=more, mode="clip")
        np.multiply(more, weights[:, k], out=more)
        y += more


def _blocks(y: np.ndarray) -> list[slice]:
    step = max(1, BLOCK // y[0].size)
    return [slice(start, start + step) for start in range(0, len(y), step)]
