"""Wrong versions of ``conv_transpose2d``, with the same arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.ops.conv import conv_transpose2d
from minideconv.ops.conv_matrix import conv_matrix
from minideconv.testing.mutants.bank import (
    Array,
    IntPair,
    flip,
    kernel_misread,
    mutant,
    pad,
    pair,
    swap,
)

__all__: list[str] = []  # they are reached through the bank


def _canvas(
    x: Array, weight: Array, stride: IntPair, groups: int, dilation: IntPair
) -> tuple[Array, tuple[int, int]]:
    """Everything that is stamped, before any cropping, and its size."""
    full = conv_transpose2d(x, weight, None, stride, 0, 0, groups, dilation)
    return full, (full.shape[2], full.shape[3])


def _with_bias(y: Array, bias: Array | None) -> Array:
    return y if bias is None else y + bias[:, None, None]


def _to_size(y: Array, size: tuple[int, ...]) -> Array:
    """Cut or fill with zeros at the bottom and right."""
    y = y[:, :, : size[0], : size[1]]
    return pad(y, 0, size[0] - y.shape[2], 0, size[1] - y.shape[3])


@mutant("conv_transpose2d", "The kernel is flipped once too often.")
def _convt__kernel_flipped(x: Array, weight: Array, *args: Any, **kwargs: Any) -> Array:
    return conv_transpose2d(x, flip(weight), *args, **kwargs)


@mutant("conv_transpose2d", "The kernel's taps are read column by column, as (kw, kh).")
def _convt__kernel_read_as_kw_kh(x: Array, weight: Array, *args: Any, **kwargs: Any) -> Array:
    return conv_transpose2d(x, kernel_misread(weight), *args, **kwargs)


@mutant("conv_transpose2d", "The weight is read as (C_out, C_in) in place of (C_in, C_out).")
def _convt__weight_axes_misread(x: Array, weight: Array, *args: Any, **kwargs: Any) -> Array:
    k, c, kh, kw = weight.shape
    return conv_transpose2d(x, weight.reshape(c, k, kh, kw).swapaxes(0, 1), *args, **kwargs)


@mutant("conv_transpose2d", "The strides of height and width are swapped.")
def _convt__stride_swapped(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Array:
    return conv_transpose2d(
        x, weight, bias, swap(stride), padding, swap(output_padding), groups, dilation
    )


@mutant("conv_transpose2d", "Stride repeats each pixel (nearest neighbour) in place of spacing it.")
def _convt__pixels_repeated(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Array:
    sh, sw = pair(stride)
    tall = x.repeat(sh, axis=2).repeat(sw, axis=3)
    tall = tall[:, :, : (x.shape[2] - 1) * sh + 1, : (x.shape[3] - 1) * sw + 1]
    right = conv_transpose2d(x, weight, bias, stride, padding, output_padding, groups, dilation)
    wrong = conv_transpose2d(tall, weight, bias, 1, padding, 0, groups, dilation)
    return _to_size(wrong, right.shape[2:])


@mutant("conv_transpose2d", "The rows and columns of output_padding are added at the top and left.")
def _convt__output_padding_in_front(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Array:
    full, (h, w) = _canvas(x, weight, stride, groups, dilation)
    (ph, pw), (rh, rw) = pair(padding), pair(output_padding)
    y = pad(full, rh, 0, rw, 0)[:, :, ph : h + rh - ph, pw : w + rw - pw]
    return _with_bias(y, bias)


@mutant("conv_transpose2d", "output_padding is ignored, so the input's size does not come back.")
def _convt__output_padding_ignored(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Array:
    return conv_transpose2d(x, weight, bias, stride, padding, 0, groups, dilation)


@mutant("conv_transpose2d", "output_padding appends zeros: values that the crop cut off are lost.")
def _convt__output_padding_adds_zeros(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Array:
    rh, rw = pair(output_padding)
    y = conv_transpose2d(x, weight, None, stride, padding, 0, groups, dilation)
    return _with_bias(pad(y, 0, rh, 0, rw), bias)


@mutant("conv_transpose2d", "All of the padding is cropped at the bottom and right.")
def _convt__crop_at_one_side(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Array:
    full, (h, w) = _canvas(x, weight, stride, groups, dilation)
    (ph, pw), (rh, rw) = pair(padding), pair(output_padding)
    y = pad(full, 0, rh, 0, rw)[:, :, : h + rh - 2 * ph, : w + rw - 2 * pw]
    return _with_bias(y, bias)


@mutant("conv_transpose2d", "Padding is not cropped from the result, which is too large.")
def _convt__padding_not_cropped(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Array:
    return conv_transpose2d(x, weight, bias, stride, 0, output_padding, groups, dilation)


@mutant("conv_transpose2d", "Stamps overwrite each other (=) in place of adding up (+=).")
def _convt__assigned_not_added(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Array:
    rest = (stride, padding, output_padding, groups, dilation)
    y = np.zeros_like(conv_transpose2d(x, weight, None, *rest))
    for i, j in np.ndindex(*weight.shape[2:]):
        tap = np.zeros_like(weight)
        tap[:, :, i, j] = 1
        written = conv_transpose2d(np.ones_like(x), tap, None, *rest) > 0
        y = np.where(written, conv_transpose2d(x, tap * weight, None, *rest), y)
    return _with_bias(y, bias)


@mutant("conv_transpose2d", "Sums are divided by the number of stamps that overlap: an average.")
def _convt__overlaps_averaged(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Array:
    rest = (stride, padding, output_padding, 1, dilation)
    y = conv_transpose2d(x, weight, None, stride, padding, output_padding, groups, dilation)
    one = np.ones_like(weight[:1, :1])
    count = conv_transpose2d(np.ones_like(x[:1, :1]), one, None, *rest)
    return _with_bias(y / np.maximum(count, 1), bias)


@mutant("conv_transpose2d", "'Deconvolution' taken at its word: the inverse, not the transpose.")
def _convt__pseudo_inverse(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Array:
    y = conv_transpose2d(x, weight, None, stride, padding, output_padding, groups, dilation)
    size = (y.shape[2], y.shape[3])
    matrix = conv_matrix(weight, size, stride, padding, dilation, groups)
    columns = x.reshape(len(x), -1).T
    if matrix.shape[0] != columns.shape[0]:
        return y  # an output_padding with which conv2d does not come back: no inverse to take
    inverse = np.linalg.pinv(matrix.astype(np.float64)).astype(x.dtype)
    return _with_bias((inverse @ columns).T.reshape(y.shape), bias)


@mutant("conv_transpose2d", "The taps stand next to each other although a dilation is asked for.")
def _convt__dilation_ignored(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Array:
    right = conv_transpose2d(x, weight, None, stride, padding, output_padding, groups, dilation)
    full, _ = _canvas(x, weight, stride, groups, 1)
    ph, pw = pair(padding)
    return _with_bias(_to_size(full[:, :, ph:, pw:], right.shape[2:]), bias)


@mutant("conv_transpose2d", "Groups are ignored: every output group hears the first input group.")
def _convt__groups_ignored(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Array:
    first = x.shape[1] // groups
    y = conv_transpose2d(
        x[:, :first], weight[:first], None, stride, padding, output_padding, 1, dilation
    )
    return _with_bias(np.tile(y, (1, groups, 1, 1)), bias)


@mutant("conv_transpose2d", "The bias is left out.")
def _convt__bias_missing(
    x: Array, weight: Array, bias: Array | None = None, *args: Any, **kwargs: Any
) -> Array:
    return conv_transpose2d(x, weight, None, *args, **kwargs)
