"""The GPU's convolutions: ask the table for an algorithm, put the arrays channels last, call it.

The CPU's twin is `engine.conv`; here groups and the precision of products count too. Each function
returns None where the table leaves the work to the reference.
"""

from __future__ import annotations

from typing import Any

from minideconv.backend import Array
from minideconv.backend.precisions import get_precision
from minideconv.engine.cuda import im2col_gemm
from minideconv.engine.cuda.products import factors, rounded
from minideconv.engine.cuda.table import choose
from minideconv.engine.layout import (
    contiguous,
    from_channels_last,
    taps_first,
    to_channels_last,
)
from minideconv.ops import conv as ops
from minideconv.ops.im2col import Window

__all__ = [
    "conv2d",
    "conv2d_gradients",
    "conv2d_weight_grad",
    "conv_transpose2d",
    "conv_transpose2d_gradients",
]


@ops.conv2d_core.faster("gpu")
def conv2d(
    x: Array, weight: Array, bias: Array | None, window: Window, groups: int
) -> Array | None:
    """`ops.conv2d`: (N, C, H, W) and (K, C/groups, kh, kw) -> (N, K, H', W')."""
    sizes = (len(x), x.shape[1], len(weight), groups, x.dtype)
    found = choose("forward", window, *sizes, get_precision())
    if found is None:
        return None
    images, w = to_channels_last(x), taps_first(weight)
    return from_channels_last(found.forward(images, w, contiguous(bias), window, groups))


@ops.conv_transpose2d_core.faster("gpu")
def conv_transpose2d(
    x: Array, weight: Array, bias: Array | None, window: Window, groups: int
) -> Array | None:
    """`ops.conv_transpose2d`: (N, K, H', W') and (K, C/groups, kh, kw) -> (N, C, H, W)."""
    sizes = (len(x), weight.shape[1] * groups, len(weight), groups, x.dtype)
    found = choose("input_grad", window, *sizes, get_precision())
    if found is None:
        return None
    images, w = to_channels_last(x), taps_first(weight)
    return from_channels_last(found.input_grad(images, w, contiguous(bias), window, groups))


@ops.conv2d_weight_grad_core.faster("gpu")
def conv2d_weight_grad(x: Array, dy: Array, window: Window, groups: int) -> Array | None:
    """`ops.conv2d_weight_grad`: (N, C, H, W) and (N, K, H', W') -> (K, C/groups, kh, kw)."""
    if x.dtype != dy.dtype:
        return None
    sizes = (len(x), x.shape[1], dy.shape[1], groups, x.dtype)
    found = choose("weight_grad", window, *sizes, get_precision())
    if found is None:
        return None
    dw = found.weight_grad(to_channels_last(x), to_channels_last(dy), window, groups)
    return dw.transpose(3, 2, 0, 1)


@ops.conv2d_gradients.faster("gpu")
def conv2d_gradients(
    dy: Array, x: Array, weight: Array, window: Window, groups: int
) -> tuple[Array, Array] | None:
    """`ops.conv2d_backward`: dx and dw, where they share a patch matrix or the rounded dy."""
    algorithms = _algorithms(("input_grad", "weight_grad"), x, dy, window, groups)
    shared = _shared(algorithms)
    if shared is None:
        return None
    arrays = (to_channels_last(dy), to_channels_last(x), taps_first(weight))
    if shared == "im2col_gemm":
        found = im2col_gemm.input_and_weight_grad(*arrays, window, groups)
        if found is None:
            return None
        dx, dw = found
    else:
        factor = rounded(arrays[0], factors(dy.dtype))
        dx = algorithms[0].input_grad(factor, arrays[2], None, window, groups)
        dw = algorithms[1].weight_grad(arrays[1], factor, window, groups)
    return from_channels_last(dx), dw.transpose(3, 2, 0, 1)


@ops.conv_transpose2d_gradients.faster("gpu")
def conv_transpose2d_gradients(
    dy: Array, x: Array, weight: Array, window: Window, groups: int
) -> tuple[Array, Array] | None:
    """`ops.conv_transpose2d_backward`: dx and dw, where they share columns or the rounded dy."""
    algorithms = _algorithms(("forward", "weight_grad"), dy, x, window, groups)
    shared = _shared(algorithms)
    if shared is None:
        return None
    arrays = (to_channels_last(dy), to_channels_last(x), taps_first(weight))
    if shared == "im2col_gemm":
        dx, dw = im2col_gemm.forward_and_weight_grad(*arrays, window, groups)
    else:
        factor = rounded(arrays[0], factors(dy.dtype))
        dx = algorithms[0].forward(factor, arrays[2], None, window, groups)
        dw = algorithms[1].weight_grad(factor, arrays[1], window, groups)
    return from_channels_last(dx), dw.transpose(3, 2, 0, 1)


def _algorithms(
    operations: tuple[str, ...], x: Array, y: Array, window: Window, groups: int
) -> list[Any]:
    """Return the table's algorithms for these operations on x -> y."""
    if x.dtype != y.dtype:
        return []
    sizes = (len(x), x.shape[1], y.shape[1], groups, x.dtype)
    return [choose(operation, window, *sizes, get_precision()) for operation in operations]


def _shared(algorithms: list[Any]) -> str | None:
    """Return the algorithm's name, without its tile, if all have the same that can share."""
    names = {algorithm.name.split()[0] if algorithm else None for algorithm in algorithms}
    name = names.pop() if len(names) == 1 else None
    return name if name in ("im2col_gemm", "implicit_gemm") else None
