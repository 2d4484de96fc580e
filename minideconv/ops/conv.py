"""Convolution, transposed convolution and the weight gradient: one trilinear form, three partials.

    conv2d                (N, C, H, W) x (K, C, kh, kw)   -> (N, K, H', W')
    conv_transpose2d      (N, K, H', W') x (K, C, kh, kw) -> (N, C, H, W)
    conv2d_weight_grad    (N, C, H, W) x (N, K, H', W')   -> (K, C, kh, kw)

`im2col` copies the pixels under every position of the window into a column, so that convolution is
one matrix product, ``y = W @ im2col(x)``. `col2im` is its transpose: it adds every column back to
the pixels it came from. Transposed convolution is then ``col2im(W.T @ y)``, the transposed matrix
and nothing else:

    <conv2d(x, W), y>  =  <x, conv_transpose2d(y, W)>  =  <W, conv2d_weight_grad(x, y)>

so each of the three is the backward pass of the others and no derivative is written twice.

The columns are made for a block of images at a time, within the byte budget of `ops.workspace`; the
result is the same. What follows is the reference: `accelerate` asks the room `engine` whether it
has a faster way to the same numbers, and answers None if not, or if `set_algorithm("reference")`.

Arrays are NCHW in shape. In memory the results are channel-major (C, N, H, W), because that is what
the matrix product writes: its rows are output channels, its columns run over images, rows and
pixels.

Source: Chellapilla, Puri, Simard, "High performance convolutional neural networks for document
processing" (2006), section 4, for im2col; Dumoulin and Visin, "A guide to convolution arithmetic
for deep learning" (2016), chapter 4, for the transpose.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce

from minideconv.backend import Array, get_xp
from minideconv.backend.algorithms import accelerate
from minideconv.backend.device_guard import device_guard
from minideconv.backend.parallel import map_ordered
from minideconv.ops import geometry
from minideconv.ops.im2col import (
    Block,
    IntPair,
    Window,
    conv_window,
    crop,
    gather,
    padded_zeros,
    parts,
    scatter,
    zero_pad,
)

__all__ = [
    "conv2d",
    "conv2d_backward",
    "conv2d_weight_grad",
    "conv_transpose2d",
    "conv_transpose2d_backward",
]

Gradients = tuple[Array | None, Array | None, Array | None]


def _check_arrays(
    op: str, x: Array, weight: Array, bias: Array | None, groups: int, transposed: bool
) -> None:
    for name, array in (("x", x), ("weight", weight)):
        if array.ndim != 4:
            axes = "(N, C, H, W)" if name == "x" else "(out, in, kh, kw)"
            raise ValueError(f"{op}: {name} has shape {array.shape}; it must have 4 axes {axes}")
        if array.dtype.kind != "f":
            raise TypeError(f"{op}: {name} has dtype {array.dtype}; it must be floating point")
    if x.dtype != weight.dtype or (bias is not None and bias.dtype != x.dtype):
        theirs = weight.dtype if bias is None else f"{weight.dtype} and bias {bias.dtype}"
        raise TypeError(f"{op}: x is {x.dtype} but weight is {theirs}; convert one to the other")
    channels, first = x.shape[1], weight.shape[0]
    if groups < 1 or channels % groups or first % groups:
        raise ValueError(
            f"{op}: groups is {groups}; it must be a positive divisor of x's {channels} channels"
            f" and of"
            f" weight.shape[0] = {first}"
        )
    if transposed and channels != first:
        raise ValueError(
            f"{op}: x has {channels} channels but weight has shape {weight.shape}; a transposed"
            f" convolution's"
            " weight is (C_in, C_out / groups, kh, kw), so weight.shape[0] must equal x.shape[1]"
        )
    if not transposed and channels != weight.shape[1] * groups:
        raise ValueError(
            f"{op}: x has {channels} channels but weight has {weight.shape[1]} input channels per"
            f" group and"
            f" groups={groups}; x.shape[1] must equal weight.shape[1] * groups"
        )
    outputs = weight.shape[1] * groups if transposed else first
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(
            f"{op}: bias has shape {bias.shape}; it must be ({outputs},), one value per output"
            f" channel"
        )


# ---------------------------------------------------------------------------------------------
# The three partials


@device_guard
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

    ``y[n, k, p, q] = b[k] + sum_{c, i, j} x[n, c, p sh + i dh - ph, q sw + j dw - pw] W[k, c, i,
    j]``, with zeros outside the image. The kernel is not flipped (textbooks call this
    cross-correlation).

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
    n, _, h, w = x.shape
    k, _, kh, kw = weight.shape
    window = conv_window("conv2d", (h, w), (kh, kw), stride, padding, dilation)
    if (faster := accelerate("conv2d", x, weight, bias, window, groups)) is not None:
        return faster
    ho, wo = window.out

    x = zero_pad(x.transpose(1, 0, 2, 3), window.padding)  # (C, N, Hp, Wp)
    matrix = weight.reshape(groups, k // groups, -1)  # (G, K/G, C/G*kh*kw)
    y: Array = get_xp(x).empty((groups, k // groups, n * ho * wo), x.dtype)

    def multiply(part: list[Block]) -> None:
        for images, rows, columns in part:
            cols = gather(x[:, images], window, rows)  # (C, kh, kw, n, r, W')
            cols = cols.reshape(groups, matrix.shape[2], -1)  # (G, C/G*kh*kw, n*r*W')
            y[:, :, columns] = matrix @ cols

    map_ordered(multiply, parts(x, window))
    y = y.reshape(k, n, ho, wo)
    if bias is not None:
        y += bias[:, None, None, None]
    return y.transpose(1, 0, 2, 3)


@device_guard
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
    """Apply the transposed matrix of a convolution: ``(N, K, H, W) -> (N, C, H', W')``.

    ``y[n, c, p sh + i dh - ph, q sw + j dw - pw] += x[n, k, p, q] W[k, c, i, j]``: every input
    pixel stamps its kernel, scaled, onto the output. It is `conv2d`'s gradient with respect to its
    input, with the same weight array; it is not an inverse. The paper calls it deconvolution.

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
        In ``[0, max(stride, dilation))``. A convolution of stride s maps s input sizes to one
        output size; this picks the one to return to. It adds pixels at the bottom and right, not
        zeros to the result.
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
    Noh, Hong, Han, "Learning Deconvolution Network for Semantic Segmentation" (ICCV 2015), section
    3.2.
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
    if (faster := accelerate("conv_transpose2d", x, weight, bias, window, groups)) is not None:
        return faster

    c = channels * groups
    wo = window.out[1]
    rows_of_x = x.transpose(1, 0, 2, 3)  # (K, N, H, W)
    matrix = weight.reshape(groups, k // groups, -1).transpose(0, 2, 1)  # (G, C/G*kh*kw, K/G)
    padded = padded_zeros(x, c, n, window)  # (C, N, Hp, Wp)

    def multiply_and_add(part: list[Block]) -> None:
        for images, rows, _ in part:
            block = rows_of_x[:, images, rows].reshape(groups, k // groups, -1)  # (G, K/G, n*r*W)
            cols = matrix @ block  # (G, C/G*kh*kw, n*r*W)
            cols = cols.reshape(c, kh, kw, -1, rows.stop - rows.start, wo)
            scatter(cols, padded[:, images], window, rows)

    map_ordered(multiply_and_add, parts(padded, window))
    y = crop(padded, window)
    if bias is not None:
        y += bias[:, None, None, None]
    return y.transpose(1, 0, 2, 3)


@device_guard
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

    ``dW[k, c, i, j] = sum_{n, p, q} dy[n, k, p, q] x[n, c, p sh + i dh - ph, q sw + j dw - pw]``,
    in matrices ``dW = dy @ im2col(x).T``.

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
    window = conv_window(op, (h, w), kernel_size, stride, padding, dilation)
    if groups < 1 or c % groups or k % groups:
        raise ValueError(
            f"{op}: groups is {groups}; it must be a positive divisor of x's {c} and dy's {k}"
            f" channels"
        )
    if dy.shape != (n, k, *window.out):
        raise ValueError(
            f"{op}: dy has shape {dy.shape}; a convolution of x {x.shape} with this geometry gives"
            f" ({n}, {k}, {window.out[0]}, {window.out[1]})"
        )
    if (faster := accelerate("conv2d_weight_grad", x, dy, window, groups)) is not None:
        return faster
    kh, kw = window.kernel
    x = zero_pad(x.transpose(1, 0, 2, 3), window.padding)  # (C, N, Hp, Wp)
    dy = dy.transpose(1, 0, 2, 3)  # (K, N, H', W')

    def correlate(part: list[Block]) -> Array:
        products = (
            dy[:, images, rows].reshape(groups, k // groups, -1)  # (G, K/G, n*r*W')
            @ gather(x[:, images], window, rows)  # (C, kh, kw, n, r, W')
            .reshape(groups, c // groups * kh * kw, -1)
            .transpose(0, 2, 1)
            for images, rows, _ in part
        )
        return _total(products)  # (G, K/G, C/G*kh*kw)

    if n == 0:
        empty: Array = get_xp(x).zeros((k, c // groups, kh, kw), x.dtype)
        return empty
    return _total(map_ordered(correlate, parts(x, window))).reshape(k, c // groups, kh, kw)


def _total(arrays: Iterable[Array]) -> Array:
    """Add arrays up, in order, into the first."""
    total: Array = reduce(lambda a, b: get_xp(a).add(a, b, out=a), arrays)
    return total


# ---------------------------------------------------------------------------------------------
# Backward passes: each names two of the three above


def _bias_grad(dy: Array) -> Array:
    """Sum over images and pixels: (N, K, H, W) -> (K,)."""
    faster: Array | None = accelerate("channel_sums", dy)
    return dy.sum(axis=(0, 2, 3)) if faster is None else faster


@device_guard
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
    """Return `conv2d`'s gradients by (x, weight, bias); None where not needed.

    ``dx = conv_transpose2d(dy, W)``, ``dW = conv2d_weight_grad(x, dy)``, ``db[k] = sum_{n, p, q}
    dy``. A faster way may make the first two together.
    """
    kernel, size = (weight.shape[2], weight.shape[3]), (x.shape[2], x.shape[3])
    dx = dw = db = None
    if needs[0] and needs[1]:
        window = conv_window("conv2d", size, kernel, stride, padding, dilation)
        dx, dw = accelerate("conv2d_gradients", dy, x, weight, window, groups) or (None, None)
    if needs[0] and dx is None:
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
    if needs[1] and dw is None:
        dw = conv2d_weight_grad(x, dy, kernel, stride, padding, dilation, groups)
    if needs[2]:
        db = _bias_grad(dy)
    return dx, dw, db


@device_guard
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
    """Return `conv_transpose2d`'s gradients by (x, weight, bias); None where not needed.

    ``dx = conv2d(dy, W)``, ``dW = conv2d_weight_grad(dy, x)`` (the operands change places),
    ``db[c] = sum_{n, p, q} dy``. output_padding needs no mention: it shows in the shape of dy.
    Where it is not below the stride (dilation allows that), `conv2d` of dy has windows behind the
    last pixel of x: none of them has a share in it.
    """
    h, w = x.shape[2:]
    kernel = (weight.shape[2], weight.shape[3])
    dx = dw = db = None
    if needs[0] and needs[1]:
        window = conv_window("conv2d", dy.shape[2:], kernel, stride, padding, dilation)
        window = replace(window, out=(h, w))
        arguments = (dy, x, weight, window, groups)
        dx, dw = accelerate("conv_transpose2d_gradients", *arguments) or (None, None)
    if needs[0] and dx is None:
        dx = conv2d(dy, weight, None, stride, padding, dilation, groups)[:, :, :h, :w]
    if needs[1] and dw is None:
        ho, wo = conv_window("conv2d", dy.shape[2:], kernel, stride, padding, dilation).out
        if (ho, wo) != (h, w):
            behind = get_xp(x).zeros((*x.shape[:2], ho, wo), x.dtype)
            behind[:, :, :h, :w] = x
            x = behind
        dw = conv2d_weight_grad(dy, x, kernel, stride, padding, dilation, groups)
    if needs[2]:
        db = _bias_grad(dy)
    return dx, dw, db
