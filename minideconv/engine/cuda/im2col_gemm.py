"""Convolution as products with a patch matrix, on a GPU: any geometry, groups and precision.

    Y = cols(X) W + b        dX = col2im(dY W^T)        dW = cols(X)^T dY

with a row of cols for every position of the window, (groups, kh kw C/groups) numbers long, and W as
(kh kw C/groups, K): channels last and taps first are the layout in which all three are products of
row-major matrices. Groups are a batch of products, on strided views. `columns` makes the patch
matrix, a block of output rows at a time.

Two cases need no patch matrix, because the images are their own: 1x1 kernels, and kernels as large
as the image (fc6 and its twin); see `engine.cpu.gemm`.

With stride 1, dX is also a convolution of dY, by the same kernel with its taps run backwards and
the roles of its channels exchanged:

    dX = cols'(dY) W'        W' as (kh kw K/groups, C)

That is taken where it moves no more bytes than the columns of dX, which are C instead of K channels
wide and, being sums, have 32 bits even where factors have 16. The same columns then give dW too, as
the weight gradient of that other convolution. So do those of dY when a transposed convolution goes
back: a backward pass often needs one patch matrix only. With a stride, see `phases_gemm`.

Source: Chellapilla, Puri, Simard, "High performance convolutional neural networks for document
processing" (2006), section 4; Chetlur et al., "cuDNN: efficient primitives for deep learning"
(2014), section 3, for the three products and what the patch matrix costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from minideconv.backend import Array, get_xp
from minideconv.engine.cpu import gemm
from minideconv.engine.cuda.columns import blocks, col2im, im2col, rooms, touched
from minideconv.engine.cuda.exchange import exchanged
from minideconv.engine.cuda.products import (
    Factors,
    add_bias,
    by_group,
    factors,
    multiply,
    rounded,
    unrounded,
)
from minideconv.ops.im2col import Window

__all__ = [
    "forward",
    "forward_and_weight_grad",
    "input_and_weight_grad",
    "input_grad",
    "weight_grad",
]


# ---------------------------------------------------------------------------------------------
# The three passes, and two of them at once


def forward(x: Array, w: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """(N, H, W, C) * (kh, kw, C/groups, K) -> (N, H', W', K)."""
    y = _empty(x, len(x), *window.out, w.shape[3])
    _correlate(x, window, groups, w=w, y=y)
    add_bias(y, bias)
    return y


def input_grad(dy: Array, w: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """(N, H', W', K) * (kh, kw, C/groups, K) -> (N, H, W, C)."""
    kind = factors(dy.dtype)
    c, k = w.shape[2] * groups, w.shape[3]
    if _is_convolution(window, c, k, groups, dy.dtype, kind):
        return forward(dy, exchanged(w, groups, kind), bias, _backwards(window), groups)
    transposed = _matrices(rounded(w, kind), groups).transpose(0, 2, 1)
    rows = _positions(dy)
    dx = _empty(dy, len(dy), *window.size, c)
    if _is_product(window, groups):
        results = dx.reshape(len(rows), -1)
        for part in _parts(rows, kind):
            factor = by_group(rounded(rows[part], kind), groups)
            multiply(factor, transposed, by_group(results[part], groups), kind)
        add_bias(dx, bias)
        return dx
    done = 0
    for block, part, cols in _blocks(dy, window, c * prod(window.kernel), dy.dtype):
        factor = by_group(rounded(rows[part], kind), groups)
        multiply(factor, transposed, by_group(cols, groups), kind)
        pixels = touched(window, block, done)
        col2im(cols, bias, dx, window, groups, block, pixels, done)
        done = pixels.stop
    return dx


def weight_grad(x: Array, dy: Array, window: Window, groups: int) -> Array:
    """(N, H, W, C), (N, H', W', K) -> (kh, kw, C/groups, K)."""
    dw = _empty(x, *window.kernel, x.shape[3] // groups, dy.shape[3])
    _correlate(x, window, groups, dy=dy, dw=dw)
    return dw


def forward_and_weight_grad(
    x: Array, dy: Array, w: Array, window: Window, groups: int
) -> tuple[Array, Array]:
    """Return `forward` of `x` and `weight_grad` of `x` and `dy`: the gradients of the transpose."""
    y, dw = _empty(x, len(x), *window.out, w.shape[3]), _empty(x, *w.shape)
    _correlate(x, window, groups, w=w, y=y, dy=dy, dw=dw)
    return y, dw


def input_and_weight_grad(
    dy: Array, x: Array, w: Array, window: Window, groups: int
) -> tuple[Array, Array] | None:
    """Return `input_grad` and `weight_grad`, or None where one patch matrix for both costs more."""
    kind = factors(x.dtype)
    if not _is_convolution(window, x.shape[3], dy.shape[3], groups, x.dtype, kind, both=True):
        return None
    w = exchanged(w, groups, kind)
    dx, dw = forward_and_weight_grad(dy, x, w, _backwards(window), groups)
    return dx, exchanged(dw, groups, unrounded(dw.dtype))


def _correlate(
    x: Array,
    window: Window,
    groups: int,
    *,
    w: Array | None = None,
    y: Array | None = None,
    dy: Array | None = None,
    dw: Array | None = None,
) -> None:
    """Make the columns of `x` and, of the two products with them, those whose arrays are given.

    ``y = cols(x) w`` and ``dw = cols(x)^T dy``.
    """
    kind = factors(x.dtype)
    if w is not None:
        matrix = _matrices(rounded(w, kind), groups)
    for part, cols in _patches(x, window, groups, kind):
        if y is not None:
            multiply(cols, matrix, by_group(_positions(y)[part], groups), kind)
        if dy is not None and dw is not None:
            factor = by_group(rounded(_positions(dy)[part], kind), groups)
            beta = float(part.start > 0)  # behind the first block: add to what is there
            multiply(cols.transpose(0, 2, 1), factor, _matrices(dw, groups), kind, beta)


# ---------------------------------------------------------------------------------------------
# Which way


def _is_product(window: Window, groups: int) -> bool:
    """Return whether the images are their own patch matrix."""
    return gemm.fits(window, 0, 0, None) and (groups == 1 or window.kernel == (1, 1))


def _is_convolution(
    window: Window, c: int, k: int, groups: int, dtype: Any, kind: Factors, both: bool = False
) -> bool:
    """Return whether dX is best computed as a convolution of dY, or `both` dX and dW.

    By the bytes for one tap: columns are written once and read by each product.
    """
    if window.stride != (1, 1) or _is_product(window, groups):
        return False
    if prod(window.size) > prod(window.out):
        return False  # there would be more to multiply
    factor, result = kind.dtype.itemsize, dtype.itemsize
    of_dy = prod(window.size) * k * factor * (3 if both else 2)
    of_dx = prod(window.out) * c * (2 * result + (2 * factor if both else 0))
    return of_dy <= of_dx


def _backwards(window: Window) -> Window:
    """Return the window that a pixel of dX looks through at dY: the taps run backwards."""
    (ph, pw), (dh, dw) = window.padding, window.dilation
    return Window(window.out, window.kernel, (1, 1), (-ph, -pw), (-dh, -dw), window.size)


# ---------------------------------------------------------------------------------------------
# Factors: batches of matrices, one for each group


def _patches(x: Array, window: Window, groups: int, kind: Factors) -> Iterator[tuple[slice, Array]]:
    """Yield which positions, and their columns (groups, positions, kh kw C/groups)."""
    width = prod(window.kernel) * x.shape[3]
    if _is_product(window, groups):
        rows = x.reshape(-1, width)
        for part in _parts(rows, kind):
            yield part, by_group(rounded(rows[part], kind), groups)
    else:
        for block, part, cols in _blocks(x, window, width, kind.dtype):
            im2col(x, window, groups, kind, block, cols)
            yield part, by_group(cols, groups)


def _blocks(
    like: Array, window: Window, width: int, dtype: Any
) -> Iterator[tuple[range, slice, Array]]:
    """Yield the output's rows, their positions, and room for so many columns, again and again."""
    wo = window.out[1]
    for block, (room,) in rooms(like, len(like) * window.out[0], wo, (width, dtype)):
        yield block, slice(block.start * wo, block.stop * wo), room


def _parts(rows: Array, kind: Factors) -> list[slice]:
    """Return all rows of a matrix, or parts of it that are to be rounded one by one."""
    if rows.dtype == kind.dtype:
        return [slice(0, len(rows))]
    found = blocks(len(rows), rows.shape[1] * kind.dtype.itemsize)
    return [slice(block.start, block.stop) for block in found]


def _positions(images: Array) -> Array:
    """(N, H, W, C) -> (N H W, C), a view."""
    return images.reshape(-1, images.shape[3])


def _matrices(w: Array, groups: int) -> Array:
    """(kh, kw, C/groups, K) -> (groups, kh kw C/groups, K/groups), a view."""
    return by_group(w.reshape(-1, w.shape[3]), groups)


def _empty(like: Array, *shape: int) -> Array:
    result: Array = get_xp(like).empty(shape, like.dtype)
    return result
