"""Convolution, its transpose and its weight gradient as functions of Tensors, and `linear`.

The three are the partials of one trilinear form (see `ops.conv`), so the backward of each is made
of the other two. That holds for arrays and for Tensors alike: where a gradient comes as a Tensor,
the backward is computed by these functions themselves, recorded, and can be differentiated any
number of times.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minideconv import ops
from minideconv.autograd import Tensor, record
from minideconv.backend import Array
from minideconv.backend.dispatch import keep_choices
from minideconv.functional.arguments import OPTIONAL, Grads, Needs, no_tensor
from minideconv.functional.resizing import pad
from minideconv.ops.geometry import IntPair, Pair, pair, pairs
from minideconv.ops.pad import same_padding

__all__ = ["conv2d", "conv2d_weight_grad", "conv_transpose2d", "linear"]


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: IntPair | str = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve: ``(N, C, H, W) * (K, C/groups, kh, kw) -> (N, K, H', W')``; see `ops.conv2d`.

    Of one image (C, H, W) the result is (K, H', W'), as of the other functions of images.
    `padding` may be "same", with a stride of 1: zeros so that the size stays; or "valid": none.
    """
    if not (isinstance(x, Tensor) and isinstance(weight, Tensor) and isinstance(bias, OPTIONAL)):
        raise no_tensor("conv2d", x=x, weight=weight, bias=bias)
    if x.data.ndim == 3:  # one image (C, H, W)
        batch = conv2d(x.unsqueeze(0), weight, bias, stride, padding, dilation, groups)
        return batch.squeeze(0)
    if isinstance(padding, str):
        x, padding = _padded(x, weight, stride, padding, dilation)
    options: dict[str, Any] = pairs("conv2d", stride=stride, padding=padding, dilation=dilation)
    options["groups"] = groups
    y = ops.conv2d(x.data, weight.data, None if bias is None else bias.data, **options)

    @keep_choices
    def backward(dy: Any, needs: Needs, x_data: Any, weight_data: Any) -> Any:
        if isinstance(dy, Tensor):
            return _conv2d_backward(dy, x_data, weight_data, needs, options)
        return ops.conv2d_backward(dy, x_data, weight_data, needs=needs, **options)

    inputs = (x, weight, bias)
    return record("conv2d", y, inputs, backward, (x, weight), options, True, backward)


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
    if x.data.ndim == 3:  # one image (K, H, W)
        rest = (stride, padding, output_padding, groups, dilation)
        return conv_transpose2d(x.unsqueeze(0), weight, bias, *rest).squeeze(0)
    window: dict[str, Any] = pairs(
        "conv_transpose2d", stride=stride, padding=padding, dilation=dilation
    )
    window["groups"] = groups
    options = window | pairs("conv_transpose2d", output_padding=output_padding)
    y = ops.conv_transpose2d(x.data, weight.data, None if bias is None else bias.data, **options)

    @keep_choices
    def backward(dy: Any, needs: Needs, x_data: Any, weight_data: Any) -> Any:
        if isinstance(dy, Tensor):
            return _conv_transpose2d_backward(dy, x_data, weight_data, needs, window)
        return ops.conv_transpose2d_backward(dy, x_data, weight_data, needs=needs, **window)

    inputs = (x, weight, bias)
    return record("conv_transpose2d", y, inputs, backward, (x, weight), options, True, backward)


def conv2d_weight_grad(
    x: Tensor,
    dy: Tensor,
    kernel_size: IntPair,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Tensor:
    """Correlate a convolution's input with its output's gradient: ``-> (K, C/groups, kh, kw)``.

    See `ops.conv2d_weight_grad`. It is `conv2d`'s gradient by its weight, and the same linear map
    of `x` and of `dy` as a convolution is of its own two arguments.
    """
    if not (isinstance(x, Tensor) and isinstance(dy, Tensor)):
        raise no_tensor("conv2d_weight_grad", x=x, dy=dy)
    op = "conv2d_weight_grad"
    window: dict[str, Any] = pairs(op, stride=stride, padding=padding, dilation=dilation)
    window["groups"] = groups
    options = window | {"kernel_size": pair(kernel_size, "kernel_size", op)}
    dw = ops.conv2d_weight_grad(x.data, dy.data, **options)
    size = (x.shape[2], x.shape[3])

    @keep_choices
    def backward(g: Any, needs: Needs, x_data: Any, dy_data: Any) -> Any:
        """By dy a convolution with g, by x its transpose: <dW(x, dy), g> = <conv2d(x, g), dy>."""
        on_tensors = isinstance(g, Tensor)
        transpose: Any = conv_transpose2d if on_tensors else ops.conv_transpose2d
        convolve: Any = conv2d if on_tensors else ops.conv2d
        there = window | _output_padding(size, dy_data.shape, g.shape, window)
        dx = transpose(dy_data, g, **there) if needs[0] else None
        ddy = convolve(x_data, g, **window) if needs[1] else None
        return dx, ddy

    return record(op, dw, (x, dy), backward, (x, dy), options, True, backward)


def _padded(
    x: Tensor, weight: Tensor, stride: IntPair, padding: str, dilation: IntPair
) -> tuple[Tensor, Pair]:
    """Return `x` and the padding that "same" and "valid" mean; what is odd is put around `x`."""
    window = pairs("conv2d", stride=stride, dilation=dilation)
    kernel = (weight.shape[-2], weight.shape[-1])
    left, right, top, bottom = same_padding("conv2d", padding, kernel, **window)
    if (left, top) != (right, bottom):
        x = pad(x, (0, right - left, 0, bottom - top))
    return x, (top, left)


def _conv2d_backward(
    dy: Tensor, x: Tensor, weight: Tensor, needs: Needs, window: Mapping[str, Any]
) -> tuple[Tensor | None, ...]:
    """Return what `ops.conv2d_backward` returns, by recorded operations."""
    there = {**window, **_output_padding((x.shape[2], x.shape[3]), dy.shape, weight.shape, window)}
    dx = conv_transpose2d(dy, weight, **there) if needs[0] else None
    kernel = (weight.shape[2], weight.shape[3])
    dw = conv2d_weight_grad(x, dy, kernel, **window) if needs[1] else None
    return dx, dw, dy.sum((0, 2, 3)) if needs[2] else None


def _conv_transpose2d_backward(
    dy: Tensor, x: Tensor, weight: Tensor, needs: Needs, window: Mapping[str, Any]
) -> tuple[Tensor | None, ...]:
    """Return what `ops.conv_transpose2d_backward` returns, by recorded operations."""
    dx = dw = None
    if needs[0]:
        dx = conv2d(dy, weight, **window)
        # An output_padding that is not below the stride leaves room for further windows.
        if dx.shape != x.shape:
            dx = dx[:, :, : x.shape[2], : x.shape[3]]
    if needs[1]:
        kernel = (weight.shape[2], weight.shape[3])
        h, w = _convolved((dy.shape[2], dy.shape[3]), kernel, window)
        if (h, w) != x.shape[2:]:
            x = pad(x, (0, w - x.shape[3], 0, h - x.shape[2]))
        dw = conv2d_weight_grad(dy, x, kernel, **window)
    return dx, dw, dy.sum((0, 2, 3)) if needs[2] else None


def _convolved(size: Pair, kernel: Pair, window: Mapping[str, Any]) -> Pair:
    """Return the size of a convolution's output, rounded down."""
    h, w = (
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(
            size, kernel, window["stride"], window["padding"], window["dilation"], strict=True
        )
    )
    return h, w


def _output_padding(
    size: Pair, out: tuple[int, ...], weight: tuple[int, ...], window: Mapping[str, Any]
) -> dict[str, Pair]:
    """Return the option with which the transpose, from `out`, comes back to `size`."""
    h, w = (
        n - ((m - 1) * s - 2 * p + d * (k - 1) + 1)
        for n, m, k, s, p, d in zip(
            size, out[2:], weight[2:], window["stride"], window["padding"], window["dilation"],
            strict=True,
        )
    )  # fmt: skip
    return {"output_padding": (h, w)}


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight.T + bias``: ``(..., C) * (K, C) -> (..., K)``; see `ops.linear`."""
    if not (isinstance(x, Tensor) and isinstance(weight, Tensor) and isinstance(bias, OPTIONAL)):
        raise no_tensor("linear", x=x, weight=weight, bias=bias)
    y = ops.linear(x.data, weight.data, None if bias is None else bias.data)

    @keep_choices
    def backward(dy: Array, needs: Needs, x_data: Array, weight_data: Array) -> Grads:
        return ops.linear_backward(dy, x_data, weight_data, (needs[0], needs[1], needs[2]))

    inputs = (x, weight, bias)
    return record("linear", y, inputs, backward, (x, weight), None, True, _linear_backward)


def _linear_backward(
    dy: Tensor, needs: Needs, x: Tensor, weight: Tensor
) -> tuple[Tensor | None, ...]:
    g, rows = dy.reshape(-1, weight.shape[0]), x.reshape(-1, weight.shape[1])
    dx = (g @ weight).reshape(x.shape) if needs[0] else None
    return dx, g.T @ rows if needs[1] else None, g.sum(0) if needs[2] else None
