"""Wrong versions of ``conv2d_weight_grad``: each names the arguments that it gets wrong."""

from __future__ import annotations

from typing import Any

from minideconv.ops.conv import conv2d_weight_grad
from minideconv.testing.mutants.bank import Array, Pair, flip, kernel_misread, mutant, pad

__all__: list[str] = []  # they are reached through the bank


@mutant("conv2d_weight_grad", "The gradient is flipped, as if the forward pass flipped the kernel.")
def _kernel_flipped(**arguments: Any) -> Array:
    return flip(conv2d_weight_grad(**arguments))


@mutant("conv2d_weight_grad", "The taps are written column by column, as (kw, kh).")
def _kernel_read_as_kw_kh(**arguments: Any) -> Array:
    return kernel_misread(conv2d_weight_grad(**arguments))


@mutant("conv2d_weight_grad", "The stride is forgotten: dy meets neighbouring pixels.")
def _stride_ignored(
    x: Array,
    dy: Array,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    **rest: Any,
) -> Array:
    (kh, kw), (dh, dw), (ph, pw) = kernel_size, dilation, padding
    h, w = dy.shape[2] + dh * (kh - 1), dy.shape[3] + dw * (kw - 1)
    near = pad(x, ph, ph, pw, pw)[:, :, :h, :w]
    return conv2d_weight_grad(near, dy, kernel_size, dilation=dilation, **rest)


@mutant("conv2d_weight_grad", "The padding is taken from the top and left only.")
def _padding_on_one_side(x: Array, padding: Pair, **rest: Any) -> Array:
    ph, pw = padding
    return conv2d_weight_grad(pad(x, 2 * ph, 0, 2 * pw, 0), **rest)


@mutant("conv2d_weight_grad", "The gradient is averaged over the batch in place of summed.")
def _batch_mean(x: Array, **rest: Any) -> Array:
    return conv2d_weight_grad(x, **rest) / len(x)


@mutant("conv2d_weight_grad", "Each image overwrites the last (=): only the final one counts.")
def _last_image_only(x: Array, dy: Array, **rest: Any) -> Array:
    return conv2d_weight_grad(x[-1:], dy[-1:], **rest)


@mutant("conv2d_weight_grad", "Input and output channels are interchanged in the result.")
def _channels_transposed(**arguments: Any) -> Array:
    grad = conv2d_weight_grad(**arguments)
    k, c, kh, kw = grad.shape
    return grad.swapaxes(0, 1).reshape(k, c, kh, kw)


@mutant("conv2d_weight_grad", "The taps of the patch matrix run (kh, kw, C), not (C, kh, kw).")
def _channels_last_in_kernel(**arguments: Any) -> Array:
    grad = conv2d_weight_grad(**arguments)
    return grad.transpose(0, 2, 3, 1).reshape(grad.shape)


@mutant("conv2d_weight_grad", "Groups are ignored: every group meets the first group's channels.")
def _groups_ignored(x: Array, groups: int, **rest: Any) -> Array:
    return conv2d_weight_grad(x[:, : x.shape[1] // groups], **rest)
