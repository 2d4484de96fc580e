"""Wrong versions of ``conv2d``: each names the arguments that it gets wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.ops.conv import conv2d
from minideconv.testing.mutants.bank import (
    Array,
    Pair,
    flip,
    interleaved,
    kernel_misread,
    mutant,
    pad,
)

__all__: list[str] = []  # they are reached through the bank


@mutant("conv2d", "The kernel is flipped: true convolution where deep learning correlates.")
def _kernel_flipped(weight: Array, **rest: Any) -> Array:
    return conv2d(weight=flip(weight), **rest)


@mutant("conv2d", "The kernel's taps are read column by column, as (kw, kh).")
def _kernel_read_as_kw_kh(weight: Array, **rest: Any) -> Array:
    return conv2d(weight=kernel_misread(weight), **rest)


@mutant("conv2d", "The strides of height and width are swapped.")
def _stride_swapped(stride: Pair, **rest: Any) -> Array:
    return conv2d(stride=stride[::-1], **rest)


@mutant("conv2d", "The stride is ignored, the result cut to the right size.")
def _stride_ignored(stride: Pair, **rest: Any) -> Array:
    right = conv2d(stride=stride, **rest)
    return conv2d(**rest)[:, :, : right.shape[2], : right.shape[3]]


@mutant("conv2d", "Windows are counted from the end, so a stride that leaves a remainder shifts.")
def _stride_from_the_end(stride: Pair, **rest: Any) -> Array:
    sh, sw = stride
    return conv2d(**rest)[:, :, ::-1, ::-1][:, :, ::sh, ::sw][:, :, ::-1, ::-1]


@mutant("conv2d", "The paddings of height and width are swapped.")
def _padding_swapped(padding: Pair, **rest: Any) -> Array:
    return conv2d(padding=padding[::-1], **rest)


@mutant("conv2d", "All padding goes to the top and left, none to the bottom and right.")
def _padding_on_one_side(x: Array, padding: Pair, **rest: Any) -> Array:
    ph, pw = padding
    return conv2d(pad(x, 2 * ph, 0, 2 * pw, 0), **rest)


@mutant("conv2d", "The border is padded with the nearest pixel in place of zeros.")
def _padding_by_edge(x: Array, padding: Pair, **rest: Any) -> Array:
    ph, pw = padding
    return conv2d(pad(x, ph, ph, pw, pw, "edge"), **rest)


@mutant("conv2d", "The taps stand next to each other although a dilation is given.")
def _dilation_ignored(dilation: Pair, **rest: Any) -> Array:
    right = conv2d(dilation=dilation, **rest)
    return conv2d(**rest)[:, :, : right.shape[2], : right.shape[3]]


@mutant("conv2d", "The dilations of height and width are swapped.")
def _dilation_swapped(dilation: Pair, **rest: Any) -> Array:
    return conv2d(dilation=dilation[::-1], **rest)


@mutant("conv2d", "Rows of the patch matrix run (kh, kw, C) while the weight's run (C, kh, kw).")
def _channels_last_in_kernel(weight: Array, **rest: Any) -> Array:
    k, c, kh, kw = weight.shape
    return conv2d(weight=weight.reshape(k, kh, kw, c).transpose(0, 3, 1, 2), **rest)


@mutant("conv2d", "Only the first input channel counts: the sum over channels is forgotten.")
def _channel_sum_forgotten(weight: Array, **rest: Any) -> Array:
    first = weight.copy()
    first[:, 1:] = 0
    return conv2d(weight=first, **rest)


@mutant("conv2d", "Input channels are dealt to the groups in turn, in place of in blocks.")
def _groups_interleaved(x: Array, groups: int, **rest: Any) -> Array:
    return conv2d(x[:, interleaved(x.shape[1], groups)], groups=groups, **rest)


@mutant("conv2d", "Groups are ignored: every group sees the channels of the first.")
def _groups_ignored(x: Array, groups: int, **rest: Any) -> Array:
    return conv2d(x[:, : x.shape[1] // groups], **rest)


@mutant("conv2d", "The bias is left out.")
def _bias_missing(bias: Array | None, **rest: Any) -> Array:
    return conv2d(**rest)


@mutant("conv2d", "The bias is added once for every tap of the kernel.")
def _bias_in_the_loop(weight: Array, bias: Array | None, **rest: Any) -> Array:
    taps = weight.shape[2] * weight.shape[3]
    return conv2d(weight=weight, bias=None if bias is None else taps * bias, **rest)


@mutant("conv2d", "The matrix product's rows are read as (N, K) although they are (K, N).")
def _batch_and_channels_mixed(**arguments: Any) -> Array:
    y = conv2d(**arguments)
    return y.transpose(1, 0, 2, 3).reshape(y.shape)


@mutant("conv2d", "The output is reshaped to (W', H') and turned, which scrambles the pixels.")
def _output_read_as_w_h(**arguments: Any) -> Array:
    y = conv2d(**arguments)
    n, k, h, w = y.shape
    return y.reshape(n, k, w, h).swapaxes(2, 3)


@mutant("conv2d", "The first image's result is given for the whole batch.")
def _first_image_only(x: Array, **rest: Any) -> Array:
    return np.repeat(conv2d(x[:1], **rest), x.shape[0], axis=0)


@mutant("conv2d", "The output size is rounded up: a last window hangs over the edge.")
def _size_rounded_up(x: Array, stride: Pair, **rest: Any) -> Array:
    sh, sw = stride
    return conv2d(pad(x, 0, sh - 1, 0, sw - 1), stride=stride, **rest)


@mutant("conv2d", "The result is float64 whatever the input: memory doubles layer by layer.")
def _float64_result(**arguments: Any) -> Array:
    return conv2d(**arguments).astype(np.float64)


@mutant("conv2d", "The input is used as scratch space: the caller's x is changed.")
def _input_changed(x: Array, **rest: Any) -> Array:
    y = conv2d(x, **rest)
    x *= 2
    return y
