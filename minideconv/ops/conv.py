"""Convolution, transposed convolution and the weight gradient: one trilinear form, three partials.

    conv2d                (N, C, H, W) x (K, C, kh, kw)   -> (N, K, H', W')
    conv_transpose2d      (N, K, H', W') x (K, C, kh, kw) -> (N, C, H, W)
    conv2d_weight_grad    (N, C, H, W) x (N, K, H', W')   -> (K, C, kh, kw)

`im2col` copies the pixels under every position of the window into a column, so that convolution is one
matrix product, ``y = W @ im2col(x)``. `col2im` is its transpose: it adds every column back to the pixels
it came from. Transposed convolution is then ``col2im(W.T @ y)``, the transposed matrix and nothing else:

    <conv2d(x, W), y>  =  <x, conv_transpose2d(y, W)>  =  <W, conv2d_weight_grad(x, y)>

so each of the three is the backward pass of the others and no derivative is written twice.

A patch matrix is kh * kw times as large as its image. It is therefore made for a block of images, or of
rows of one image, at a time, under the byte budget of `ops.workspace`; the result is the same.

Arrays are NCHW in shape. In memory the results are channel-major (C, N, H, W), because that is what the
matrix product writes: its rows are output channels, its columns run over images, rows and pixels.

Source: Chellapilla, Puri, Simard, "High performance convolutional neural networks for document
processing" (2006), section 4, for im2col; Dumoulin and Visin, "A guide to convolution arithmetic for deep
learning" (2016), chapter 4, for the transpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minideconv import geometry
from minideconv.backend import Array, get_xp
from minideconv.geometry import Pair
from minideconv.ops.workspace import rows_per_block

__all__ = [
    "col2im",
    "conv2d",
    "conv2d_backward",
    "conv2d_weight_grad",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "im2col",
]

IntPair = int | tuple[int, int]
Gradients = tuple[Array | None, Array | None, Array | None]


# ---------------------------------------------------------------------------------------------
# Geometry: what a window is and where it stops


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window over an image of ``size`` pixels; it stops at ``out`` positions."""

    size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    out: Pair

    def tap(self, i: int, j: int, rows: slice | None = None) -> tuple[slice, slice]:
        """Return the padded image's pixels that kernel entry (i, j) meets at output `rows`."""
        first, last = (0, self.out[0]) if rows is None else (rows.start, rows.stop)
        (sh, sw), (dh, dw) = self.stride, self.dilation
        top, left = first * sh + i * dh, j * dw
        return (
            slice(top, top + (last - first - 1) * sh + 1, sh),
            slice(left, left + (self.out[1] - 1) * sw + 1, sw),
        )


def _conv_window(
    op: str, size: Pair, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> Window:
    k = geometry.check_at_least(geometry.pair(kernel, "kernel_size", op), 1, "kernel_size", op)
    s = geometry.check_at_least(geometry.pair(stride, "stride", op), 1, "stride", op)
    p = geometry.check_at_least(geometry.pair(padding, "padding", op), 0, "padding", op)
    d = geometry.check_at_least(geometry.pair(dilation, "dilation", op), 1, "dilation", op)
    return Window(size, k, s, p, d, geometry.conv_output_size(size, k, s, p, d, op))


def _check_arrays(
    op: str, x: Array, weight: Array, bias: Array | None, groups: int, transposed: bool
) -> None:
    for name, array in (("x", x), ("weight", weight)):
        if array.ndim != 4:
            axes = "(N, C, H, W)" if name == "x" else "(out, in, kh, kw)"
            raise ValueError(f"{op}: {name} has shape {array.shape}; it must have 4 axes {axes}")
        if array.dtype.kind != "f":
            raise TypeError(f"{op}: {name} has dtype {array.dtype}; it must be floating point")
    channels, first = x.shape[1], weight.shape[0]
    if groups < 1 or channels % groups or first % groups:
        raise ValueError(
            f"{op}: groups is {groups}; it must be a positive divisor of x's {channels} channels and of"
            f" weight.shape[0] = {first}"
        )
    if transposed and channels != first:
        raise ValueError(
            f"{op}: x has {channels} channels but weight has shape {weight.shape}; a transposed convolution's"
            " weight is (C_in, C_out / groups, kh, kw), so weight.shape[0] must equal x.shape[1]"
        )
    if not transposed and channels != weight.shape[1] * groups:
        raise ValueError(
            f"{op}: x has {channels} channels but weight has {weight.shape[1]} input channels per group and"
            f" groups={groups}; x.shape[1] must equal weight.shape[1] * groups"
        )
    outputs = weight.shape[1] * groups if transposed else first
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(
            f"{op}: bias has shape {bias.shape}; it must be ({outputs},), one value per output channel"
        )


# ---------------------------------------------------------------------------------------------
# im2col and col2im, the two halves of everything below


def _pad(x: Array, padding: Pair) -> Array:
    """(C, N, H, W) -> (C, N, H + 2 ph, W + 2 pw), zeros around."""
    ph, pw = padding
    if ph == 0 and pw == 0:
        return x
    c, n, h, w = x.shape
    padded = get_xp(x).zeros((c, n, h + 2 * ph, w + 2 * pw), x.dtype)
    padded[:, :, ph : ph + h, pw : pw + w] = x
    return padded


def _gather(padded: Array, window: Window, rows: slice) -> Array:
    """Copy each tap's pixels: (C, N, Hp, Wp) -> (C, kh, kw, N, rows, W')."""
    c, n = padded.shape[:2]
    if window.kernel == (1, 1):
        return padded[:, None, None, :, *window.tap(0, 0, rows)]  # one tap: nothing to copy
    kh, kw = window.kernel
    cols = get_xp(padded).empty(
        (c, kh, kw, n, rows.stop - rows.start, window.out[1]), padded.dtype
    )
    for i in range(kh):
        for j in range(kw):
            cols[:, i, j] = padded[:, :, *window.tap(i, j, rows)]
    return cols


def _scatter(cols: Array, padded: Array, window: Window, rows: slice) -> None:
    """Add each tap's values to its pixels, the transpose of `_gather`; `padded` is changed."""
    kh, kw = window.kernel
    for i in range(kh):
        for j in range(kw):
            padded[:, :, *window.tap(i, j, rows)] += cols[:, i, j]


def im2col(
    x: Array,
    kernel_size: IntPair,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
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
        Row ``(c, i, j)`` of a column holds the pixel of channel ``c`` under kernel entry ``(i, j)``; the
        column number is the window's position in row-major order. PyTorch calls this ``unfold``.

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
    window = _conv_window("im2col", (h, w), kernel_size, stride, padding, dilation)
    kh, kw = window.kernel
    ho, wo = window.out
    cols = _gather(_pad(x.transpose(1, 0, 2, 3), window.padding), window, slice(0, ho))
    return cols.reshape(c * kh * kw, n, ho * wo).transpose(1, 0, 2)


def col2im(
    cols: Array,
    output_size: tuple[int, int],
    kernel_size: IntPair,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
) -> Array:
    """Add columns back to the pixels they came from: ``(N, C*kh*kw, H'*W') -> (N, C, H, W)``.

    The transpose of `im2col`: a pixel that lies under several windows receives the sum. PyTorch calls
    this ``fold``.

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
    window = _conv_window("col2im", size, kernel_size, stride, padding, dilation)
    kh, kw = window.kernel
    ho, wo = window.out
    if cols.ndim != 3 or cols.shape[1] % (kh * kw) or cols.shape[2] != ho * wo:
        raise ValueError(
            f"col2im: cols has shape {cols.shape}; it must be (N, C*{kh * kw}, {ho * wo}), because a"
            f" {kh}x{kw} kernel stops at {ho}x{wo} positions of an image of {size[0]}x{size[1]}"
        )
    n, c = cols.shape[0], cols.shape[1] // (kh * kw)
    blocks = cols.transpose(1, 0, 2).reshape(c, kh, kw, n, ho, wo)
    padded = _zeros_padded(cols, c, n, window)
    _scatter(blocks, padded, window, slice(0, ho))
    return _crop(padded, window).transpose(1, 0, 2, 3)


def _zeros_padded(like: Array, c: int, n: int, window: Window) -> Array:
    (h, w), (ph, pw) = window.size, window.padding
    return get_xp(like).zeros((c, n, h + 2 * ph, w + 2 * pw), like.dtype)  # type: ignore[no-any-return]


def _crop(padded: Array, window: Window) -> Array:
    (h, w), (ph, pw) = window.size, window.padding
    return padded[:, :, ph : ph + h, pw : pw + w]


def _blocks(x: Array, window: Window) -> Iterator[tuple[slice, slice, slice]]:
    """Cut the patch matrix of (C, N, H, W) into blocks: yields (images, output rows, columns)."""
    c, n = x.shape[:2]
    (kh, kw), (ho, wo) = window.kernel, window.out
    rows = rows_per_block(x, bytes_per_row=c * kh * kw * wo * x.dtype.itemsize)
    if rows >= ho:  # whole images
        images = rows // ho
        for start in range(0, n, images):
            stop = min(start + images, n)
            yield slice(start, stop), slice(0, ho), slice(start * ho * wo, stop * ho * wo)
    else:
        for image in range(n):
            for start in range(0, ho, rows):
                stop = min(start + rows, ho)
                columns = slice((image * ho + start) * wo, (image * ho + stop) * wo)
                yield slice(image, image + 1), slice(start, stop), columns


# ---------------------------------------------------------------------------------------------
# The three partials


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Array:
    """Convolve images with kernels: ``(N, C, H, W) * (K, C/groups, kh, kw) -> (N, K, H', W')``.

    ``y[n, k, p, q] = b[k] + sum_{c, i, j} x[n, c, p sh + i dh - ph, q sw + j dw - pw] W[k, c, i, j]``, with
    zeros outside the image. The kernel is not flipped (textbooks call this cross-correlation).

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images.
    weight : array, shape (K, C / groups, kh, kw)
        Kernels.
    bias : array, shape (K,), optional
        Added to every pixel of an output channel.
    stride, padding, dilation : int or (int, int)
        Step of the window, zeros around the image, and spacing of the taps, along height and width.
    groups : int
        Splits the channels into groups that do not see each other; divides C and K.

    Returns
    -------
    array, shape (N, K, H', W')
        ``H' = floor((H + 2 ph - dh (kh - 1) - 1) / sh) + 1``, and W' likewise.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or the geometry do not fit; the sentence says what would.
    """
    _check_arrays("conv2d", x, weight, bias, groups, transposed=False)
    n, c, h, w = x.shape
    k, _, kh, kw = weight.shape
    window = _conv_window("conv2d", (h, w), (kh, kw), stride, padding, dilation)
    ho, wo = window.out

    x = _pad(x.transpose(1, 0, 2, 3), window.padding)  # (C, N, Hp, Wp)
    matrix = weight.reshape(groups, k // groups, -1)  # (G, K/G, C/G*kh*kw)
    y = get_xp(x).empty((groups, k // groups, n * ho * wo), x.dtype)
    for images, rows, columns in _blocks(x, window):
        cols = _gather(x[:, images], window, rows)  # (C, kh, kw, n, r, W')
        cols = cols.reshape(groups, matrix.shape[2], -1)  # (G, C/G*kh*kw, n*r*W')
        y[:, :, columns] = matrix @ cols
    y = y.reshape(k, n, ho, wo)
    if bias is not None:
        y += bias[:, None, None, None]
    return y.transpose(1, 0, 2, 3)


def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Array:
    """Apply the transposed matrix of a convolution: ``(N, K, H, W) * (K, C/groups, kh, kw) -> (N, C, H', W')``.

    ``y[n, c, p sh + i dh - ph, q sw + j dw - pw] += x[n, k, p, q] W[k, c, i, j]``: every input pixel stamps
    its kernel, scaled, onto the output. It is `conv2d`'s gradient with respect to its input, with the same
    weight array; it is not an inverse. The paper calls it deconvolution.

    Parameters
    ----------
    x : array, shape (N, K, H, W)
        What is to be spread out.
    weight : array, shape (K, C / groups, kh, kw)
        The weight of the convolution whose transpose this is.
    bias : array, shape (C,), optional
        Added to every pixel of an output channel.
    stride, padding, dilation : int or (int, int)
        Those of that convolution.
    output_padding : int or (int, int)
        In ``[0, max(stride, dilation))``. A convolution of stride s maps s input sizes to one output size;
        this picks the one to return to. It adds pixels at the bottom and right, not zeros to the result.
    groups : int
        Divides K and C.

    Returns
    -------
    array, shape (N, C, H', W')
        ``H' = (H - 1) sh - 2 ph + dh (kh - 1) + 1 + output_padding``, and W' likewise.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or the geometry do not fit; the sentence says what would.

    Notes
    -----
    Noh, Hong, Han, "Learning Deconvolution Network for Semantic Segmentation" (ICCV 2015), section 3.2.
    """
    op = "conv_transpose2d"
    _check_arrays(op, x, weight, bias, groups, transposed=True)
    n, k, *size = x.shape
    _, channels, kh, kw = weight.shape
    s, p, d = (
        geometry.pair(v, name, op)
        for v, name in ((stride, "stride"), (padding, "padding"), (dilation, "dilation"))
    )
    geometry.check_at_least(s, 1, "stride", op)
    geometry.check_at_least(p, 0, "padding", op)
    geometry.check_at_least(d, 1, "dilation", op)
    extra = geometry.pair(output_padding, "output_padding", op)
    out = geometry.conv_transpose_output_size((size[0], size[1]), (kh, kw), s, p, extra, d, op)
    window = Window(out, (kh, kw), s, p, d, (size[0], size[1]))

    c = channels * groups
    ho, wo = window.out
    rows_of_x = x.transpose(1, 0, 2, 3)  # (K, N, H, W)
    matrix = weight.reshape(groups, k // groups, -1).transpose(0, 2, 1)  # (G, C/G*kh*kw, K/G)
    padded = _zeros_padded(x, c, n, window)  # (C, N, Hp, Wp)
    for images, rows, _ in _blocks(padded, window):
        block = rows_of_x[:, images, rows].reshape(groups, k // groups, -1)  # (G, K/G, n*r*W)
        cols = matrix @ block  # (G, C/G*kh*kw, n*r*W)
        cols = cols.reshape(c, kh, kw, -1, rows.stop - rows.start, wo)
        _scatter(cols, padded[:, images], window, rows)
    y = _crop(padded, window)
    if bias is not None:
        y += bias[:, None, None, None]
    return y.transpose(1, 0, 2, 3)


def conv2d_weight_grad(
    x: Array,
    dy: Array,
    kernel_size: IntPair,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Array:
    """Correlate a convolution's input with its output's gradient: ``-> (K, C/groups, kh, kw)``.

    ``dW[k, c, i, j] = sum_{n, p, q} dy[n, k, p, q] x[n, c, p sh + i dh - ph, q sw + j dw - pw]``, in
    matrices ``dW = dy @ im2col(x).T``.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        The convolution's input.
    dy : array, shape (N, K, H', W')
        Gradient of the loss with respect to the convolution's output.
    kernel_size, stride, padding, dilation, groups
        The convolution's.

    Raises
    ------
    ValueError, TypeError
        If `dy` is not what that convolution of `x` has as output.
    """
    op = "conv2d_weight_grad"
    for name, array in (("x", x), ("dy", dy)):
        if array.ndim != 4:
            raise ValueError(f"{op}: {name} has shape {array.shape}; it must have 4 axes")
    n, c, h, w = x.shape
    k = dy.shape[1]
    window = _conv_window(op, (h, w), kernel_size, stride, padding, dilation)
    if groups < 1 or c % groups or k % groups:
        raise ValueError(
            f"{op}: groups is {groups}; it must be a positive divisor of x's {c} and dy's {k} channels"
        )
    if dy.shape != (n, k, *window.out):
        raise ValueError(
            f"{op}: dy has shape {dy.shape}; a convolution of x {x.shape} with this geometry gives"
            f" ({n}, {k}, {window.out[0]}, {window.out[1]})"
        )
    kh, kw = window.kernel
    x = _pad(x.transpose(1, 0, 2, 3), window.padding)  # (C, N, Hp, Wp)
    dy = dy.transpose(1, 0, 2, 3)  # (K, N, H', W')
    total: Array | None = None
    for images, rows, _ in _blocks(x, window):
        cols = _gather(x[:, images], window, rows)  # (C, kh, kw, n, r, W')
        cols = cols.reshape(groups, c // groups * kh * kw, -1)
        block = dy[:, images, rows].reshape(groups, k // groups, -1)  # (G, K/G, n*r*W')
        part = block @ cols.transpose(0, 2, 1)  # (G, K/G, C/G*kh*kw)
        total = part if total is None else get_xp(x).add(total, part, out=total)
    if total is None:  # an empty batch
        total = get_xp(x).zeros((groups, k // groups, c // groups * kh * kw), x.dtype)
    return total.reshape(k, c // groups, kh, kw)


# ---------------------------------------------------------------------------------------------
# Backward passes: each names two of the three above


def conv2d_backward(
    dy: Array,
    x: Array,
    weight: Array,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    needs: tuple[bool, ...] = (True, True, True),
) -> Gradients:
    """Return the gradients of `conv2d` with respect to (x, weight, bias); None where not needed.

    ``dx = conv_transpose2d(dy, W)``, ``dW = conv2d_weight_grad(x, dy)``, ``db[k] = sum_{n, p, q} dy``.
    """
    kernel, size = (weight.shape[2], weight.shape[3]), (x.shape[2], x.shape[3])
    dx = dw = db = None
    if needs[0]:
        # the pixels at the bottom and right that a stride left over come back as output_padding
        left_over = geometry.output_padding_for(
            size,
            (dy.shape[2], dy.shape[3]),
            kernel,
            geometry.pair(stride, "stride", "conv2d"),
            geometry.pair(padding, "padding", "conv2d"),
            geometry.pair(dilation, "dilation", "conv2d"),
        )
        dx = conv_transpose2d(dy, weight, None, stride, padding, left_over, groups, dilation)
    if needs[1]:
        dw = conv2d_weight_grad(x, dy, kernel, stride, padding, dilation, groups)
    if needs[2]:
        db = dy.sum(axis=(0, 2, 3))
    return dx, dw, db


def conv_transpose2d_backward(
    dy: Array,
    x: Array,
    weight: Array,
    stride: IntPair = 1,
    padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
    needs: tuple[bool, ...] = (True, True, True),
) -> Gradients:
    """Return the gradients of `conv_transpose2d` with respect to (x, weight, bias); None where not needed.

    ``dx = conv2d(dy, W)``, ``dW = conv2d_weight_grad(dy, x)`` (the operands change places),
    ``db[c] = sum_{n, p, q} dy``. output_padding needs no mention: it shows in the shape of dy.
    """
    dx = dw = db = None
    if needs[0]:
        dx = conv2d(dy, weight, None, stride, padding, dilation, groups)
    if needs[1]:
        kernel = (weight.shape[2], weight.shape[3])
        dw = conv2d_weight_grad(dy, x, kernel, stride, padding, dilation, groups)
    if needs[2]:
        db = dy.sum(axis=(0, 2, 3))
    return dx, dw, db
