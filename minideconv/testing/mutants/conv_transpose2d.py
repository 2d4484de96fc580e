"""Wrong versions of ``conv_transpose2d``: each names the arguments that it gets wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.ops.conv import conv_transpose2d
from minideconv.ops.conv_matrix import conv_matrix
from minideconv.testing.mutants.bank import Array, Pair, flip, kernel_misread, mutant, pad

__all__: list[str] = []  # they are reached through the bank


def _with_bias(y: Array, bias: Array | None) -> Array:
    return y if bias is None else y + bias[:, None, None]


def _to_size(y: Array, size: tuple[int, ...]) -> Array:
    """Cut or fill with zeros at the bottom and right."""
    y = y[:, :, : size[0], : size[1]]
    return pad(y, 0, size[0] - y.shape[2], 0, size[1] - y.shape[3])


@mutant("conv_transpose2d", "The kernel is flipped once too often.")
def _kernel_flipped(weight: Array, **rest: Any) -> Array:
    return conv_transpose2d(weight=flip(weight), **rest)


@mutant("conv_transpose2d", "The kernel's taps are read column by column, as (kw, kh).")
def _kernel_read_as_kw_kh(weight: Array, **rest: Any) -> Array:
    return conv_transpose2d(weight=kernel_misread(weight), **rest)


@mutant("conv_transpose2d", "The weight is read as (C_out, C_in) in place of (C_in, C_out).")
def _weight_axes_misread(weight: Array, **rest: Any) -> Array:
    k, c, kh, kw = weight.shape
    return conv_transpose2d(weight=weight.reshape(c, k, kh, kw).swapaxes(0, 1), **rest)


@mutant("conv_transpose2d", "The strides of height and width are swapped.")
def _stride_swapped(stride: Pair, output_padding: Pair, **rest: Any) -> Array:
    return conv_transpose2d(stride=stride[::-1], output_padding=output_padding[::-1], **rest)


@mutant("conv_transpose2d", "Stride repeats each pixel (nearest neighbour) in place of spacing it.")
def _pixels_repeated(x: Array, stride: Pair, output_padding: Pair, **rest: Any) -> Array:
    sh, sw = stride
    tall = x.repeat(sh, axis=2).repeat(sw, axis=3)
    tall = tall[:, :, : (x.shape[2] - 1) * sh + 1, : (x.shape[3] - 1) * sw + 1]
    right = conv_transpose2d(x, stride=stride, output_padding=output_padding, **rest)
    return _to_size(conv_transpose2d(tall, **rest), right.shape[2:])


@mutant("conv_transpose2d", "The rows and columns of output_padding are added at the top and left.")
def _output_padding_in_front(
    bias: Array | None, padding: Pair, output_padding: Pair, **rest: Any
) -> Array:
    (ph, pw), (rh, rw) = padding, output_padding
    full = pad(conv_transpose2d(**rest), rh, 0, rw, 0)
    return _with_bias(full[:, :, ph : full.shape[2] - ph, pw : full.shape[3] - pw], bias)


@mutant("conv_transpose2d", "output_padding is ignored, so the input's size does not come back.")
def _output_padding_ignored(output_padding: Pair, **rest: Any) -> Array:
    return conv_transpose2d(**rest)


@mutant("conv_transpose2d", "output_padding appends zeros: values that the crop cut off are lost.")
def _output_padding_adds_zeros(bias: Array | None, output_padding: Pair, **rest: Any) -> Array:
    rh, rw = output_padding
    return _with_bias(pad(conv_transpose2d(**rest), 0, rh, 0, rw), bias)


@mutant("conv_transpose2d", "All of the padding is cropped at the bottom and right.")
def _crop_at_one_side(
    bias: Array | None, padding: Pair, output_padding: Pair, **rest: Any
) -> Array:
    (ph, pw), (rh, rw) = padding, output_padding
    full = pad(conv_transpose2d(**rest), 0, rh, 0, rw)
    return _with_bias(full[:, :, : full.shape[2] - 2 * ph, : full.shape[3] - 2 * pw], bias)


@mutant("conv_transpose2d", "Padding is not cropped from the result, which is too large.")
def _padding_not_cropped(padding: Pair, **rest: Any) -> Array:
    return conv_transpose2d(**rest)


@mutant("conv_transpose2d", "Stamps overwrite each other (=) in place of adding up (+=).")
def _assigned_not_added(x: Array, weight: Array, bias: Array | None, **rest: Any) -> Array:
    y = np.zeros_like(conv_transpose2d(x, weight, **rest))
    for i, j in np.ndindex(*weight.shape[2:]):
        tap = np.zeros_like(weight)
        tap[:, :, i, j] = 1
        written = conv_transpose2d(np.ones_like(x), tap, **rest) > 0
        y = np.where(written, conv_transpose2d(x, tap * weight, **rest), y)
    return _with_bias(y, bias)


@mutant("conv_transpose2d", "Sums are divided by the number of stamps that overlap: an average.")
def _overlaps_averaged(
    x: Array, weight: Array, bias: Array | None, groups: int, **rest: Any
) -> Array:
    y = conv_transpose2d(x, weight, groups=groups, **rest)
    count = conv_transpose2d(np.ones_like(x[:1, :1]), np.ones_like(weight[:1, :1]), **rest)
    return _with_bias(y / np.maximum(count, 1), bias)


@mutant("conv_transpose2d", "'Deconvolution' taken at its word: the inverse, not the transpose.")
def _pseudo_inverse(
    x: Array, weight: Array, bias: Array | None, output_padding: Pair, **rest: Any
) -> Array:
    y = conv_transpose2d(x, weight, output_padding=output_padding, **rest)
    matrix = conv_matrix(weight, (y.shape[2], y.shape[3]), **rest)
    columns = x.reshape(len(x), -1).T
    if matrix.shape[0] != columns.shape[0]:
        return y  # an output_padding with which conv2d does not come back: no inverse to take
    inverse = np.linalg.pinv(matrix.astype(np.float64)).astype(x.dtype)
    return _with_bias((inverse @ columns).T.reshape(y.shape), bias)


@mutant("conv_transpose2d", "The taps stand next to each other although a dilation is given.")
def _dilation_ignored(
    bias: Array | None, padding: Pair, output_padding: Pair, dilation: Pair, **rest: Any
) -> Array:
    right = conv_transpose2d(
        padding=padding, output_padding=output_padding, dilation=dilation, **rest
    )
    (ph, pw), full = padding, conv_transpose2d(**rest)
    return _with_bias(_to_size(full[:, :, ph:, pw:], right.shape[2:]), bias)


@mutant("conv_transpose2d", "Groups are ignored: every output group reads the first input group.")
def _groups_ignored(x: Array, weight: Array, bias: Array | None, groups: int, **rest: Any) -> Array:
    first = x.shape[1] // groups
    y = conv_transpose2d(x[:, :first], weight[:first], **rest)
    return _with_bias(np.tile(y, (1, groups, 1, 1)), bias)


@mutant("conv_transpose2d", "The bias is left out.")
def _bias_missing(bias: Array | None, **rest: Any) -> Array:
    return conv_transpose2d(**rest)
