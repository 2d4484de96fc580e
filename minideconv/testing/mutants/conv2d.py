"""Wrong versions of ``conv2d``, with the same arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.ops.conv import conv2d
from minideconv.testing.mutants.bank import (
    Array,
    IntPair,
    flip,
    interleaved,
    kernel_misread,
    mutant,
    pad,
    pair,
    swap,
)

__all__: list[str] = []  # they are reached through the bank


@mutant("conv2d", "The kernel is flipped: true convolution where deep learning correlates.")
def _conv__kernel_flipped(x: Array, weight: Array, *args: Any, **kwargs: Any) -> Array:
    return conv2d(x, flip(weight), *args, **kwargs)


@mutant("conv2d", "The kernel's taps are read column by column, as (kw, kh).")
def _conv__kernel_read_as_kw_kh(x: Array, weight: Array, *args: Any, **kwargs: Any) -> Array:
    return conv2d(x, kernel_misread(weight), *args, **kwargs)


@mutant("conv2d", "The strides of height and width are swapped.")
def _conv__stride_swapped(
    x: Array, weight: Array, bias: Array | None = None, stride: IntPair = 1, *a: Any, **k: Any
) -> Array:
    return conv2d(x, weight, bias, swap(stride), *a, **k)


@mutant("conv2d", "The stride is ignored, the result cut to the right size.")
def _conv__stride_ignored(
    x: Array, weight: Array, bias: Array | None = None, stride: IntPair = 1, *a: Any, **k: Any
) -> Array:
    right = conv2d(x, weight, bias, stride, *a, **k)
    return conv2d(x, weight, bias, 1, *a, **k)[:, :, : right.shape[2], : right.shape[3]]


@mutant("conv2d", "Windows are counted from the end, so a stride that leaves a remainder shifts.")
def _conv__stride_from_the_end(
    x: Array, weight: Array, bias: Array | None = None, stride: IntPair = 1, *a: Any, **k: Any
) -> Array:
    sh, sw = pair(stride)
    return conv2d(x, weight, bias, 1, *a, **k)[:, :, ::-1, ::-1][:, :, ::sh, ::sw][:, :, ::-1, ::-1]


@mutant("conv2d", "The paddings of height and width are swapped.")
def _conv__padding_swapped(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    *a: Any,
    **k: Any,
) -> Array:
    return conv2d(x, weight, bias, stride, swap(padding), *a, **k)


@mutant("conv2d", "All padding goes to the top and left, none to the bottom and right.")
def _conv__padding_on_one_side(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    *a: Any,
    **k: Any,
) -> Array:
    ph, pw = pair(padding)
    return conv2d(pad(x, 2 * ph, 0, 2 * pw, 0), weight, bias, stride, 0, *a, **k)


@mutant("conv2d", "The border is padded with the nearest pixel in place of zeros.")
def _conv__padding_by_edge(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    *a: Any,
    **k: Any,
) -> Array:
    ph, pw = pair(padding)
    return conv2d(pad(x, ph, ph, pw, pw, "edge"), weight, bias, stride, 0, *a, **k)


@mutant("conv2d", "The taps stand next to each other although a dilation is asked for.")
def _conv__dilation_ignored(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Array:
    right = conv2d(x, weight, bias, stride, padding, dilation, groups)
    wrong = conv2d(x, weight, bias, stride, padding, 1, groups)
    return wrong[:, :, : right.shape[2], : right.shape[3]]


@mutant("conv2d", "The dilations of height and width are swapped.")
def _conv__dilation_swapped(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Array:
    return conv2d(x, weight, bias, stride, padding, swap(dilation), groups)


@mutant("conv2d", "Rows of the patch matrix run (kh, kw, C) while the weight's run (C, kh, kw).")
def _conv__channels_last_in_kernel(x: Array, weight: Array, *args: Any, **kwargs: Any) -> Array:
    k, c, kh, kw = weight.shape
    return conv2d(x, weight.reshape(k, kh, kw, c).transpose(0, 3, 1, 2), *args, **kwargs)


@mutant("conv2d", "Only the first input channel counts: the sum over channels is forgotten.")
def _conv__channel_sum_forgotten(x: Array, weight: Array, *args: Any, **kwargs: Any) -> Array:
    first = weight.copy()
    first[:, 1:] = 0
    return conv2d(x, first, *args, **kwargs)


@mutant("conv2d", "Input channels are dealt to the groups in turn, in place of in blocks.")
def _conv__groups_interleaved(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Array:
    dealt = x[:, interleaved(x.shape[1], groups)]
    return conv2d(dealt, weight, bias, stride, padding, dilation, groups)


@mutant("conv2d", "Groups are ignored: every group sees the channels of the first.")
def _conv__groups_ignored(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Array:
    return conv2d(x[:, : x.shape[1] // groups], weight, bias, stride, padding, dilation, 1)


@mutant("conv2d", "The bias is left out.")
def _conv__bias_missing(
    x: Array, weight: Array, bias: Array | None = None, *args: Any, **kwargs: Any
) -> Array:
    return conv2d(x, weight, None, *args, **kwargs)


@mutant("conv2d", "The bias is added once for every tap of the kernel.")
def _conv__bias_in_the_loop(
    x: Array, weight: Array, bias: Array | None = None, *args: Any, **kwargs: Any
) -> Array:
    taps = weight.shape[2] * weight.shape[3]
    return conv2d(x, weight, None if bias is None else taps * bias, *args, **kwargs)


@mutant("conv2d", "The matrix product's rows are read as (N, K) although they are (K, N).")
def _conv__batch_and_channels_mixed(x: Array, weight: Array, *args: Any, **kwargs: Any) -> Array:
    y = conv2d(x, weight, *args, **kwargs)
    return y.transpose(1, 0, 2, 3).reshape(y.shape)


@mutant("conv2d", "The output is reshaped to (W', H') and turned, which scrambles the pixels.")
def _conv__output_read_as_w_h(x: Array, weight: Array, *args: Any, **kwargs: Any) -> Array:
    y = conv2d(x, weight, *args, **kwargs)
    n, k, h, w = y.shape
    return y.reshape(n, k, w, h).swapaxes(2, 3)


@mutant("conv2d", "The first image's result is given for the whole batch.")
def _conv__first_image_only(x: Array, weight: Array, *args: Any, **kwargs: Any) -> Array:
    y = conv2d(x[:1], weight, *args, **kwargs)
    return np.repeat(y, x.shape[0], axis=0)


@mutant("conv2d", "The output size is rounded up: a last window hangs over the edge.")
def _conv__size_rounded_up(
    x: Array, weight: Array, bias: Array | None = None, stride: IntPair = 1, *a: Any, **k: Any
) -> Array:
    sh, sw = pair(stride)
    return conv2d(pad(x, 0, sh - 1, 0, sw - 1), weight, bias, stride, *a, **k)


@mutant("conv2d", "The result is float64 whatever the input: memory doubles layer by layer.")
def _conv__float64_result(x: Array, weight: Array, *args: Any, **kwargs: Any) -> Array:
    return conv2d(x, weight, *args, **kwargs).astype(np.float64)


@mutant("conv2d", "The input is used as scratch space: the caller's x is changed.")
def _conv__input_changed(x: Array, weight: Array, *args: Any, **kwargs: Any) -> Array:
    y = conv2d(x, weight, *args, **kwargs)
    x *= 2
    return y
