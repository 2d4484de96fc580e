"""Convolution, its transpose and the fully connected layer as functions of Tensors."""

from __future__ import annotations

from typing import Any

from minideconv import ops
from minideconv.autograd import Tensor, record
from minideconv.backend import Array
from minideconv.backend.dispatch import keep_choices
from minideconv.functional.arguments import OPTIONAL, Grads, Needs, data_of, no_tensor
from minideconv.ops.geometry import IntPair, pairs

__all__ = ["conv2d", "conv_transpose2d", "linear"]


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve: ``(N, C, H, W) * (K, C/groups, kh, kw) -> (N, K, H', W')``; see `ops.conv2d`."""
    if not (isinstance(x, Tensor) and isinstance(weight, Tensor) and isinstance(bias, OPTIONAL)):
        raise no_tensor("conv2d", x=x, weight=weight, bias=bias)
    options: dict[str, Any] = pairs("conv2d", stride=stride, padding=padding, dilation=dilation)
    options["groups"] = groups
    y = ops.conv2d(x.data, weight.data, data_of(bias), **options)

    @keep_choices
    def backward(dy: Array, needs: Needs, x_data: Array, weight_data: Array) -> Grads:
        return ops.conv2d_backward(dy, x_data, weight_data, needs=needs, **options)

    return record("conv2d", y, (x, weight, bias), backward, (x, weight), options, fresh=True)


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Tensor:
    """Apply a convolution's transpose: ``(N, K, H, W) * (K, C/groups, kh, kw) -> (N, C, H', W')``.

    See `ops.conv_transpose2d`.
    """
    if not (isinstance(x, Tensor) and isinstance(weight, Tensor) and isinstance(bias, OPTIONAL)):
        raise no_tensor("conv_transpose2d", x=x, weight=weight, bias=bias)
    window: dict[str, Any] = pairs(
        "conv_transpose2d", stride=stride, padding=padding, dilation=dilation
    )
    window["groups"] = groups
    options = window | pairs("conv_transpose2d", output_padding=output_padding)
    y = ops.conv_transpose2d(x.data, weight.data, data_of(bias), **options)

    @keep_choices
    def backward(dy: Array, needs: Needs, x_data: Array, weight_data: Array) -> Grads:
        return ops.conv_transpose2d_backward(dy, x_data, weight_data, needs=needs, **window)

    inputs = (x, weight, bias)
    return record("conv_transpose2d", y, inputs, backward, (x, weight), options, fresh=True)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight.T + bias``: ``(..., C) * (K, C) -> (..., K)``; see `ops.linear`."""
    if not (isinstance(x, Tensor) and isinstance(weight, Tensor) and isinstance(bias, OPTIONAL)):
        raise no_tensor("linear", x=x, weight=weight, bias=bias)
    y = ops.linear(x.data, weight.data, data_of(bias))

    @keep_choices
    def backward(dy: Array, needs: Needs, x_data: Array, weight_data: Array) -> Grads:
        return ops.linear_backward(dy, x_data, weight_data, (needs[0], needs[1], needs[2]))

    return record("linear", y, (x, weight, bias), backward, saved=(x, weight), fresh=True)
