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
result is the same.

`conv2d` and the functions like it check their arguments and put the geometry into a `Window`. The
computation is in the functions called ``..._core``. It is the reference: the decorator
`accelerated` lets the engine compute the same numbers faster, unless ``set_algorithm("reference")``
forbids it.

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
from minideconv.backend.checks import check_integer
from minideconv.backend.dispatch import accelerated
from minideconv.backend.parallel import map_ordered
from minideconv.backend.sums import sum_over
from minideconv.ops.geometry import IntPair
from minideconv.ops.im2col import (
    Block,
    Window,
    conv_transpose_window,
    conv_window,
    crop,
    gather,
    padded_zeros,
    parts,
    scatter,
    zero_pad,
)

__all__ = [
    "channel_sums",
    "conv2d",
    "conv2d_backward",
    "conv2d_gradients",
    "conv2d_weight_grad",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose2d_gradients",
]

Gradients = tuple[Array | None, Array | None, Array | None]


def _check_arrays(
    op: str, x: Array, weight: Array, bias: Array | None, groups: int, transposed: bool
) -> None:
    if x.ndim != 4 or weight.ndim != 4:
        name, array = ("x", x) if x.ndim != 4 else ("weight", weight)
        axes = "(N, C, H, W)" if name == "x" else "(out, in, kh, kw)"
        raise ValueError(f"{op}: {name} has shape {array.shape}; it must have 4 axes {axes}")
    if x.dtype.kind != "f" or weight.dtype.kind != "f":
        name, array = ("x", x) if x.dtype.kind != "f" else ("weight", weight)
        raise TypeError(f"{op}: {name} has dtype {array.dtype}; it must be floating point")
    if x.dtype != weight.dtype or (bias is not None and bias.dtype != x.dtype):
        theirs = weight.dtype if bias is None else f"{weight.dtype} and bias {bias.dtype}"
        raise TypeError(f"{op}: x is {x.dtype} but weight is {theirs}; convert one to the other")
    channels, (first, second) = x.shape[1], weight.shape[:2]
    if type(groups) is not int:
        check_integer(op, "groups", groups)
    if groups < 1 or channels % groups or first % groups:
        raise ValueError(
            f"{op}: groups is {groups}; it must be a positive divisor "
            f"of x's {channels} channels and of weight.shape[0] = {first}"
        )
    if transposed and channels != first:
        raise ValueError(
            f"{op}: x has {channels} channels but weight has shape {weight.shape}; "
            "a transposed convolution's weight is (C_in, C_out / groups, kh, kw), "
            "so weight.shape[0] must equal x.shape[1]"
        )
    if not transposed and channels != second * groups:
        raise ValueError(
            f"{op}: x has {channels} channels "
            f"but weight has {second} input channels per group and groups={groups}; "
            "x.shape[1] must equal weight.shape[1] * groups"
        )
    outputs = second * groups if transposed else first
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(
            f"{op}: bias has shape {bias.shape}; "
            f"it must be ({outputs},), one value per output channel"
        )


def _check_type(op: str, dy: Array, x: Array) -> None:
    if dy.ndim != 4 or dy.dtype != x.dtype:
        raise TypeError(
            f"{op}: dy has shape {dy.shape} and dtype {dy.dtype}; "
            f"it must have 4 axes and the dtype of x, {x.dtype}"
        )


def _check_gradient(op: str, dy: Array, x: Array, shape: tuple[int, ...]) -> None:
    if dy.shape != shape:
        kind = "transposed convolution" if "transpose" in op else "convolution"
        raise ValueError(
            f"{op}: dy has shape {dy.shape}; "
            f"a {kind} of x {x.shape} with this geometry gives {shape}"
        )


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
        If shapes, dtypes or the geometry do not fit; the message states what would.
    """
    _check_arrays("conv2d", x, weight, bias, groups, transposed=False)
    window = conv_window("conv2d", x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return conv2d_core(x, weight, bias, window, groups)


@accelerated
def conv2d_core(x: Array, weight: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """`conv2d` of arrays that fit: ``W @ im2col(x) + b``, block by block."""
    n, k, (ho, wo) = len(x), len(weight), window.out

    x = zero_pad(x.transpose(1, 0, 2, 3), window)  # (C, N, Hp, Wp)
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
        If shapes, dtypes or the geometry do not fit; the message states what would.

    Notes
    -----
    Noh, Hong, Han, "Learning Deconvolution Network for Semantic Segmentation" (ICCV 2015), section
    3.2.
    """
    op = "conv_transpose2d"
    _check_arrays(op, x, weight, bias, groups, transposed=True)
    options = (stride, padding, output_padding, dilation)
    window = conv_transpose_window(op, x.shape[2:], weight.shape[2:], *options)
    return conv_transpose2d_core(x, weight, bias, window, groups)


@accelerated
def conv_transpose2d_core(
    x: Array, weight: Array, bias: Array | None, window: Window, groups: int
) -> Array:
    """`conv_transpose2d` of arrays that fit: ``col2im(W.T @ x) + b``, block by block.

    `window` is that of the convolution: it slides over the result and stops at the pixels of `x`.
    """
    n, k, c = len(x), len(weight), weight.shape[1] * groups
    (kh, kw), wo = window.kernel, window.out[1]
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
    window = conv_window(op, x.shape[2:], kernel_size, stride, padding, dilation)
    c, k = x.shape[1], dy.shape[1]
    if type(groups) is not int:
        check_integer(op, "groups", groups)
    if groups < 1 or c % groups or k % groups:
        raise ValueError(
            f"{op}: groups is {groups}; "
            f"it must be a positive divisor of x's {c} and dy's {k} channels"
        )
    _check_gradient(op, dy, x, (len(x), k, *window.out))
    return conv2d_weight_grad_core(x, dy, window, groups)


@accelerated
def conv2d_weight_grad_core(x: Array, dy: Array, window: Window, groups: int) -> Array:
    """`conv2d_weight_grad` of arrays that fit: ``dy @ im2col(x).T``, added up over the blocks."""
    n, c, k, (kh, kw) = len(x), x.shape[1], dy.shape[1], window.kernel
    x = zero_pad(x.transpose(1, 0, 2, 3), window)  # (C, N, Hp, Wp)
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
        return get_xp(x).zeros((k, c // groups, kh, kw), x.dtype)
    return _total(map_ordered(correlate, parts(x, window))).reshape(k, c // groups, kh, kw)


def _total(arrays: Iterable[Array]) -> Array:
    """Add arrays up, in order, into the first."""
    return reduce(lambda a, b: get_xp(a).add(a, b, out=a), arrays)


# ---------------------------------------------------------------------------------------------
# Backward passes: each names two of the three above


@accelerated
def channel_sums(dy: Array) -> Array:
    """Sum over images and pixels: (N, K, H, W) -> (K,), what a bias receives."""
    return sum_over(dy, (0, 2, 3)).astype(dy.dtype, copy=False)


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
    dy``.

    Raises
    ------
    ValueError, TypeError
        If `dy` is not what that convolution of `x` has as output, or another argument of the
        convolution does not fit.
    """
    op = "conv2d_backward"
    _check_arrays(op, x, weight, None, groups, transposed=False)
    _check_type(op, dy, x)
    window = conv_window(op, x.shape[2:], weight.shape[2:], stride, padding, dilation)
    _check_gradient(op, dy, x, (len(x), len(weight), *window.out))
    db = channel_sums(dy) if needs[2] else None
    if needs[0] and needs[1]:
        return *conv2d_gradients(dy, x, weight, window, groups), db
    dx = conv_transpose2d_core(dy, weight, None, window, groups) if needs[0] else None
    dw = conv2d_weight_grad_core(x, dy, window, groups) if needs[1] else None
    return dx, dw, db


@accelerated
def conv2d_gradients(
    dy: Array, x: Array, weight: Array, window: Window, groups: int
) -> tuple[Array, Array]:
    """Return dx and dW of `conv2d`; a faster way may make them together."""
    dx = conv_transpose2d_core(dy, weight, None, window, groups)
    return dx, conv2d_weight_grad_core(x, dy, window, groups)


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
    ``db[c] = sum_{n, p, q} dy``. output_padding is no argument: it follows from the shape of dy.
    Where it is not below the stride (dilation allows that), more windows fit into dy than x has
    pixels: those behind the last one are left out.

    Raises
    ------
    ValueError, TypeError
        If `dy` is not what that transposed convolution of `x` has as output, or another argument of
        it does not fit.
    """
    op = "conv_transpose2d_backward"
    _check_arrays(op, x, weight, None, groups, transposed=True)
    _check_type(op, dy, x)
    window = conv_window(op, dy.shape[2:], weight.shape[2:], stride, padding, dilation)
    _check_gradient(op, dy, x, (len(x), weight.shape[1] * groups, *window.size))
    h, w = x.shape[2:]
    if window.out[0] < h or window.out[1] < w:
        raise ValueError(
            f"{op}: dy has shape {dy.shape}; with this geometry x {x.shape} gives a larger one"
        )
    window = replace(window, out=(h, w))
    db = channel_sums(dy) if needs[2] else None
    if needs[0] and needs[1]:
        return *conv_transpose2d_gradients(dy, x, weight, window, groups), db
    dx = conv2d_core(dy, weight, None, window, groups) if needs[0] else None
    dw = conv2d_weight_grad_core(dy, x, window, groups) if needs[1] else None
    return dx, dw, db


@accelerated
def conv_transpose2d_gradients(
    dy: Array, x: Array, weight: Array, window: Window, groups: int
) -> tuple[Array, Array]:
    """Return dx and dW of `conv_transpose2d`; a faster way may make them together."""
    dx = conv2d_core(dy, weight, None, window, groups)
    return dx, conv2d_weight_grad_core(dy, x, window, groups)
