"""How many windows see each pixel, over a grid of kernel sizes and strides.

Where a transposed convolution's stamps overlap unevenly, its output has a checkerboard. The counts
are ``col2im(ones)``: every window returns a 1 to each pixel that it sees.

Source: Odena, Dumoulin, Olah, "Deconvolution and checkerboard artifacts" (Distill, 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.ops import col2im
from minideconv.ops.geometry import IntPair, pair
from minideconv.ops.im2col import conv_window
from minideconv.visualize.figures.picture import Picture
from minideconv.visualize.figures.style import PAGE_WIDTH, PAPER, mixed

__all__ = ["overlap_counts", "overlap_grid", "overlap_map"]

_DEEP = "#08306b"


def overlap_counts(
    size: IntPair,
    kernel: IntPair,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
) -> npt.NDArray[np.int64]:
    """Return for each pixel of an image how many windows see it: ``-> (H, W)``.

    The same number counts the stamps that a transposed convolution lays on that pixel.

    Parameters
    ----------
    size : int or (int, int)
        The image's (H, W).
    kernel, stride, padding, dilation : int or (int, int)
        As for `ops.conv2d`.

    Examples
    --------
    >>> overlap_counts((1, 7), (1, 3), (1, 2))
    array([[1, 1, 2, 1, 2, 1, 1]])
    """
    high, wide = pair(size, "size", "overlap_counts")
    kh, kw = pair(kernel, "kernel", "overlap_counts")
    window = conv_window("overlap_counts", (high, wide), (kh, kw), stride, padding, dilation)
    ones = np.ones((1, kh * kw, window.out[0] * window.out[1]))
    counts = col2im(ones, (high, wide), (kh, kw), stride, padding, dilation)
    return np.asarray(counts[0, 0]).astype(np.int64)


def overlap_map(counts: npt.NDArray[Any], *, cell: float = 26, title: str = "") -> Picture:
    """Draw counts (H, W): each number on a blue that is the deeper the larger it is.

    An image that the stamps cover evenly has one colour.
    """
    high, wide = counts.shape
    top = 34.0 if title else 2.0
    picture = Picture(max(wide * cell + 4, 7.8 * len(title)), top + high * cell + 4)
    if title:
        picture.words(2, 12, title, anchor="start", bold=True)
    most = max(1, int(counts.max()))
    fills = [[mixed(_DEEP, PAPER, 0.9 * count / most) for count in row] for row in counts]
    picture.grid(2, top, counts, cell=cell, fills=fills, about="count")
    return picture


def overlap_grid(kernels: Sequence[int] = (2, 3, 4, 5), strides: Sequence[int] = (1, 2, 3),
                 outputs: int = 4) -> Picture:  # fmt: skip
    """Draw the counts along one axis for every pair of kernel size and stride.

    Parameters
    ----------
    kernels, strides : sequence of int
        Rows and columns of the grid.
    outputs : int
        Input pixels of the transposed convolution, each of which lays down one stamp.

    Notes
    -----
    Inside, the counts are all equal just where the stride divides the kernel's size.
    """
    longest = {s: (outputs - 1) * s + max(kernels) for s in strides}
    left, gap = 86.0, 16.0
    cell = min(26.0, (PAGE_WIDTH - left - gap * len(strides)) / sum(longest.values()))
    width = left + sum(longest[s] * cell + gap for s in strides)
    picture = Picture(width, 34 + len(kernels) * (cell + 14) + 4)
    x = left
    for stride in strides:
        picture.words(x, 14, f"stride {stride}", anchor="start", bold=True)
        for number, kernel in enumerate(kernels):
            y = 34 + number * (cell + 14)
            size = (outputs - 1) * stride + kernel
            counts = overlap_counts((1, size), (1, kernel), (1, stride))
            picture.add(overlap_map(counts, cell=cell), x - 2, y - 2)
        x += longest[stride] * cell + gap
    for number, kernel in enumerate(kernels):
        y = 34 + number * (cell + 14) + cell / 2
        picture.words(4, y, f"kernel {kernel}", anchor="start", bold=True)
    return picture
