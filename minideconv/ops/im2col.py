"""im2col, which lays every window of an image out as a column, and its transpose col2im.

    im2col    (N, C, H, W) -> (N, C*kh*kw, H'*W')
    col2im    (N, C*kh*kw, H'*W') -> (N, C, H, W)

Both are a loop over the kernel's entries ("taps"). Under tap (i, j) the windows' pixels form a
regular grid of the padded image: that grid is copied to one row of the columns, or the row is added
to that grid. So no index arrays are needed, sums are always made in the same order, and one source
serves NumPy and CuPy.

A patch matrix is kh * kw times as large as its image. `parts` cuts it so that `ops.conv` can make
it for some images, or some rows of one image, at a time, within the budget of `ops.workspace`.

Source: Chellapilla, Puri, Simard, "High performance convolutional neural networks for document
processing" (2006), section 4.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import device_guard
from minideconv.ops import geometry
from minideconv.ops.geometry import IntPair, Pair, Window, pairs
from minideconv.ops.workspace import rows_per_block

__all__ = [
    "Block",
    "Window",
    "col2im",
    "conv_transpose_window",
    "conv_window",
    "crop",
    "gather",
    "im2col",
    "padded_zeros",
    "parts",
    "scatter",
    "zero_pad",
]


def conv_window(
    op: str, size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> Window:
    """Check a convolution's arguments and return its `Window` on an image of `size`."""
    sizes = pairs(op, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
    return _conv_window(op, (size[0], size[1]), *sizes.values())


def conv_transpose_window(
    op: str, size: Any, kernel: Any, stride: Any, padding: Any, output_padding: Any, dilation: Any
) -> Window:
    """Return the `Window` of the convolution whose transpose is applied to an image of `size`."""
    extra = geometry.pair(output_padding, "output_padding", op)
    sizes = pairs(op, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
    return _conv_transpose_window(op, (size[0], size[1]), *sizes.values(), extra)


@lru_cache(maxsize=1024)  # a network has the same few windows at every step
def _conv_window(op: str, size: Pair, k: Pair, s: Pair, p: Pair, d: Pair) -> Window:
    geometry.check_window(op, k, s, p, d)
    return Window(size, k, s, p, d, geometry.conv_output_size(size, k, s, p, d, op))


@lru_cache(maxsize=1024)
def _conv_transpose_window(
    op: str, size: Pair, k: Pair, s: Pair, p: Pair, d: Pair, extra: Pair
) -> Window:
    geometry.check_window(op, k, s, p, d)
    out = geometry.conv_transpose_output_size(size, k, s, p, extra, d, op)
    return Window(out, k, s, p, d, size)


# ---------------------------------------------------------------------------------------------
# The two loops over taps, each the transpose of the other; arrays here are (C, N, H, W)


def zero_pad(x: Array, window: Window) -> Array:
    """(C, N, H, W) -> (C, N, H + 2 ph, W + 2 pw), zeros around; `x` itself without padding."""
    if window.padding == (0, 0):
        return x
    padded = padded_zeros(x, x.shape[0], x.shape[1], window)
    crop(padded, window)[...] = x
    return padded


def gather(padded: Array, window: Window, rows: slice) -> Array:
    """Copy each tap's pixels: (C, N, Hp, Wp) -> (C, kh, kw, N, rows, W')."""
    c, n = padded.shape[:2]
    if window.kernel == (1, 1):
        return padded[:, None, None, :, *window.tap(0, 0, rows)]  # one tap: nothing to copy
    kh, kw = window.kernel
    shape = (c, kh, kw, n, rows.stop - rows.start, window.out[1])
    cols: Array = get_xp(padded).empty(shape, padded.dtype)
    for i in range(kh):
        for j in range(kw):
            cols[:, i, j] = padded[:, :, *window.tap(i, j, rows)]
    return cols


def scatter(cols: Array, padded: Array, window: Window, rows: slice) -> None:
    """Add each tap's values to its pixels, the transpose of `gather`; `padded` is changed."""
    (kh, kw), (sh, sw) = window.kernel, window.stride
    few = window.out[1] < sh * sw  # with more pixels than taps the loop below is as fast
    if few and window.dilation == (1, 1) and kh % sh == 0 and kw % sw == 0:
        scatter_strides(cols, padded, window, rows)
        return
    for i in range(kh):
        for j in range(kw):
            padded[:, :, *window.tap(i, j, rows)] += cols[:, i, j]


def scatter_strides(cols: Array, padded: Array, window: Window, rows: slice) -> None:
    """`scatter` where the kernel is a whole number of strides, (a, b), high and wide.

    The sh * sw taps of one stride meet different pixels, which together fill a rectangle, so they
    are added at once: a * b additions instead of kh * kw. Each pixel's sum has the same order.
    """
    (kh, kw), (sh, sw), wo = window.kernel, window.stride, window.out[1]
    count = rows.stop - rows.start
    for i in range(0, kh, sh):
        for j in range(0, kw, sw):
            top = rows.start * sh + i
            there = padded[:, :, top : top + count * sh, j : j + wo * sw]
            there = there.reshape(*there.shape[:2], count, sh, wo, sw)  # (C, N, r, sh, W', sw)
            there += cols[:, i : i + sh, j : j + sw].transpose(0, 3, 4, 1, 5, 2)


def padded_zeros(like: Array, c: int, n: int, window: Window) -> Array:
    """Return zeros for a padded image, (C, N, H + 2 ph, W + 2 pw), on the device of `like`."""
    (h, w), (ph, pw) = window.size, window.padding
    return get_xp(like).zeros((c, n, h + 2 * ph, w + 2 * pw), like.dtype)


def crop(padded: Array, window: Window) -> Array:
    """Return the view of a padded image without its padding."""
    (h, w), (ph, pw) = window.size, window.padding
    return padded[:, :, ph : ph + h, pw : pw + w]


Block = tuple[slice, slice, slice]
"""Part of a patch matrix: which images, which output rows, and the columns that these are."""

_PARTS = 4  # fixed, so that results do not depend on the number of threads
_SMALL = 1 << 20  # bytes of patches that are not worth cutting up


def parts(x: Array, window: Window) -> list[list[Block]]:
    """Cut the patch matrix of ``x``, (C, N, Hp, Wp), into blocks within the byte budget.

    The blocks come in up to four lists that share no image, so that each can be worked on by a
    thread of its own, in order, even where the blocks of one image overlap.
    """
    c, n = x.shape[:2]
    (kh, kw), (ho, wo) = window.kernel, window.out
    bytes_per_row = c * kh * kw * wo * x.dtype.itemsize
    count = 1 if n * ho * bytes_per_row <= _SMALL else min(n, _PARTS)
    edges = [n * i // count for i in range(count + 1)]
    rows = rows_per_block(x, bytes_per_row)
    return [_blocks(range(first, last), rows, window) for first, last in pairwise(edges)]


def _blocks(images: range, rows: int, window: Window) -> list[Block]:
    """List the blocks of `rows` output rows, or of as many whole images as have that many."""
    ho, wo = window.out
    images_per_block = max(1, rows // ho)
    found = []
    for first in range(images.start, images.stop, images_per_block):
        last = min(first + images_per_block, images.stop) - 1
        for top in range(0, ho, rows):
            bottom = min(top + rows, ho)
            columns = slice((first * ho + top) * wo, (last * ho + bottom) * wo)
            found.append((slice(first, last + 1), slice(top, bottom), columns))
    return found


# ---------------------------------------------------------------------------------------------
# The same on NCHW arrays, for users


@device_guard
def im2col(
    x: Array, kernel_size: IntPair, stride: IntPair = 1, padding: IntPair = 0, dilation: IntPair = 1
) -> Array:
    """Lay every window of an image out as a column: ``(N, C, H, W) -> (N, C*kh*kw, H'*W')``.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images.
    kernel_size, stride, padding, dilation : int or (int, int)
        The window, along height and width. Padding is with zeros.

    Returns
    -------
    array, shape (N, C*kh*kw, H'*W')
        Row ``(c, i, j)`` of a column holds the pixel of channel ``c`` under kernel entry ``(i,
        j)``; the column number is the window's position in row-major order. PyTorch calls this
        ``unfold``.

    Raises
    ------
    ValueError, TypeError
        If `x` has not 4 axes, or the window does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> im2col(np.arange(6.0).reshape(1, 1, 2, 3), (2, 2))[0]
    array([[0., 1.],
           [1., 2.],
           [3., 4.],
           [4., 5.]])
    """
    if x.ndim != 4:
        raise ValueError(f"im2col: x has shape {x.shape}; it must have 4 axes (N, C, H, W)")
    n, c, h, w = x.shape
    window = conv_window("im2col", (h, w), kernel_size, stride, padding, dilation)
    (kh, kw), (ho, wo) = window.kernel, window.out
    cols = gather(zero_pad(x.transpose(1, 0, 2, 3), window), window, slice(0, ho))
    if window.kernel == (1, 1):
        cols = cols.copy()  # `gather` returned a view of x, which is not the caller's to change
    return cols.reshape(c * kh * kw, n, ho * wo).transpose(1, 0, 2)


@device_guard
def col2im(
    cols: Array,
    output_size: tuple[int, int],
    kernel_size: IntPair,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
) -> Array:
    """Add columns back to the pixels they came from: ``(N, C*kh*kw, H'*W') -> (N, C, H, W)``.

    The transpose of `im2col`: a pixel under several windows receives the sum. PyTorch
    calls this ``fold``.

    Parameters
    ----------
    cols : array, shape (N, C*kh*kw, H'*W')
        Columns in the order of `im2col`.
    output_size : (int, int)
        The image's (H, W).
    kernel_size, stride, padding, dilation : int or (int, int)
        The window that made the columns.

    Raises
    ------
    ValueError
        If the number of rows or columns does not fit the window.
    """
    size = geometry.pair(output_size, "output_size", "col2im")
    window = conv_window("col2im", size, kernel_size, stride, padding, dilation)
    (kh, kw), (ho, wo) = window.kernel, window.out
    if cols.ndim != 3 or cols.shape[1] % (kh * kw) or cols.shape[2] != ho * wo:
        raise ValueError(
            f"col2im: cols has shape {cols.shape}; it must be (N, C*{kh * kw}, {ho * wo}), "
            f"because a {kh}x{kw} kernel stops at {ho}x{wo} positions "
            f"of an image of {size[0]}x{size[1]}"
        )
    n, c = cols.shape[0], cols.shape[1] // (kh * kw)
    taps = cols.transpose(1, 0, 2).reshape(c, kh, kw, n, ho, wo)
    padded = padded_zeros(cols, c, n, window)
    scatter(taps, padded, window, slice(0, ho))
    return crop(padded, window).transpose(1, 0, 2, 3)
