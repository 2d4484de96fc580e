"""Wrong versions of ``conv2d_weight_grad``, with the same arguments."""

from __future__ import annotations

from typing import Any

from minideconv.ops.conv import conv2d_weight_grad
from minideconv.testing.mutants.bank import Array, IntPair, flip, kernel_misread, mutant, pad, pair

__all__: list[str] = []  # they are reached through the bank


@mutant("conv2d_weight_grad", "The gradient is flipped, as if the forward pass flipped the kernel.")
def _grad__kernel_flipped(x: Array, dy: Array, *args: Any, **kwargs: Any) -> Array:
    return flip(conv2d_weight_grad(x, dy, *args, **kwargs))


@mutant("conv2d_weight_grad", "The taps are written column by column, as (kw, kh).")
def _grad__kernel_read_as_kw_kh(x: Array, dy: Array, *args: Any, **kwargs: Any) -> Array:
    return kernel_misread(conv2d_weight_grad(x, dy, *args, **kwargs))


@mutant("conv2d_weight_grad", "The stride is forgotten: dy meets neighbouring pixels.")
def _grad__stride_ignored(
    x: Array,
    dy: Array,
    kernel_size: IntPair,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Array:
    (kh, kw), (dh, dw), (ph, pw) = pair(kernel_size), pair(dilation), pair(padding)
    h, w = dy.shape[2] + dh * (kh - 1), dy.shape[3] + dw * (kw - 1)
    near = pad(x, ph, ph, pw, pw)[:, :, :h, :w]
    return conv2d_weight_grad(near, dy, kernel_size, 1, 0, dilation, groups)


@mutant("conv2d_weight_grad", "The padding is taken from the top and left only.")
def _grad__padding_on_one_side(
    x: Array,
    dy: Array,
    kernel_size: IntPair,
    stride: IntPair = 1,
    padding: IntPair = 0,
    *a: Any,
    **k: Any,
) -> Array:
    ph, pw = pair(padding)
    return conv2d_weight_grad(pad(x, 2 * ph, 0, 2 * pw, 0), dy, kernel_size, stride, 0, *a, **k)


@mutant("conv2d_weight_grad", "The gradient is averaged over the batch in place of summed.")
def _grad__batch_mean(x: Array, dy: Array, *args: Any, **kwargs: Any) -> Array:
    return conv2d_weight_grad(x, dy, *args, **kwargs) / len(x)


@mutant("conv2d_weight_grad", "Each image overwrites the last (=): only the final one counts.")
def _grad__last_image_only(x: Array, dy: Array, *args: Any, **kwargs: Any) -> Array:
    return conv2d_weight_grad(x[-1:], dy[-1:], *args, **kwargs)


@mutant("conv2d_weight_grad", "Input and output channels are interchanged in the result.")
def _grad__channels_transposed(x: Array, dy: Array, *args: Any, **kwargs: Any) -> Array:
    grad = conv2d_weight_grad(x, dy, *args, **kwargs)
    k, c, kh, kw = grad.shape
    return grad.swapaxes(0, 1).reshape(k, c, kh, kw)


@mutant("conv2d_weight_grad", "The taps of the patch matrix run (kh, kw, C), not (C, kh, kw).")
def _grad__channels_last_in_kernel(x: Array, dy: Array, *args: Any, **kwargs: Any) -> Array:
    grad = conv2d_weight_grad(x, dy, *args, **kwargs)
    return grad.transpose(0, 2, 3, 1).reshape(grad.shape)


@mutant("conv2d_weight_grad", "Groups are ignored: every group meets the first group's channels.")
def _grad__groups_ignored(
    x: Array,
    dy: Array,
    kernel_size: IntPair,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Array:
    first = x[:, : x.shape[1] // groups]
    return conv2d_weight_grad(first, dy, kernel_size, stride, padding, dilation, 1)
