"""The GPU's convolutions: an algorithm from the table, called with arrays channels last.

The CPU's twin is `engine.cpu.conv`; here groups and the precision of products count too. Each
function returns None where the table leaves the work to the reference.
"""

from __future__ import annotations

from typing import Any

from minideconv.backend import Array
from minideconv.backend.precisions import get_precision
from minideconv.engine.cuda import im2col_gemm, phases_gemm, traffic
from minideconv.engine.cuda.problem import ConvProblem
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
    found = choose(ConvProblem("forward", window, *sizes, get_precision()))
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
    found = choose(ConvProblem("input_grad", window, *sizes, get_precision()))
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
    found = choose(ConvProblem("weight_grad", window, *sizes, get_precision()))
    if found is None:
        return None
    dw = found.weight_grad(to_channels_last(x), to_channels_last(dy), window, groups)
    return dw.transpose(3, 2, 0, 1)


@ops.conv2d_gradients.faster("gpu")
def conv2d_gradients(
    dy: Array, x: Array, weight: Array, window: Window, groups: int
) -> tuple[Array, Array] | None:
    """`ops.conv2d_backward`: dx and dw, where they share a patch matrix or the rounded dy."""
    return _gradients("input_grad", dy, x, weight, window, groups)


@ops.conv_transpose2d_gradients.faster("gpu")
def conv_transpose2d_gradients(
    dy: Array, x: Array, weight: Array, window: Window, groups: int
) -> tuple[Array, Array] | None:
    """`ops.conv_transpose2d_backward`: dx and dw, where they share columns or the rounded dy."""
    return _gradients("forward", dy, x, weight, window, groups)


def _gradients(
    operation: str, dy: Array, x: Array, weight: Array, window: Window, groups: int
) -> tuple[Array, Array] | None:
    """Return dx, which is `operation` of dy, and dw, if the two have something to share."""
    if x.dtype != dy.dtype:
        return None
    is_forward = operation == "forward"
    image, result = (dy, x) if is_forward else (x, dy)
    sizes = (len(x), image.shape[1], result.shape[1], groups, x.dtype)
    problems = [
        ConvProblem(name, window, *sizes, get_precision()) for name in (operation, "weight_grad")
    ]
    found: list[Any] = [choose(problem) for problem in problems]
    names = {algorithm and algorithm.name.split()[0] for algorithm in found}  # without the tile
    if names != {"implicit_gemm"} and not names <= {"im2col_gemm", "phases_gemm"}:
        return None
    has_phases = not is_forward and names != {"implicit_gemm"} and phases_gemm.fits(window)
    if has_phases and not traffic.is_shared(problems[0]):
        return None
    above, values, w = to_channels_last(dy), to_channels_last(x), taps_first(weight)
    if names == {"implicit_gemm"}:
        above = rounded(above, factors(dy.dtype))
        dx = getattr(found[0], operation)(above, w, None, window, groups)
        pair = (above, values) if is_forward else (values, above)
        dw = found[1].weight_grad(*pair, window, groups)
    elif is_forward:
        dx, dw = im2col_gemm.forward_and_weight_grad(above, values, w, window, groups)
    elif has_phases:
        dx, dw = phases_gemm.input_and_weight_grad(above, values, w, window, groups)
    else:
        both = im2col_gemm.input_and_weight_grad(above, values, w, window, groups)
        if both is None:
            return None
        dx, dw = both
    return from_channels_last(dx), dw.transpose(3, 2, 0, 1)
