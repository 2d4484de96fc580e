"""The engine's convolutions: the table's algorithm, called with arrays that are channels last.

Each function returns None where the table has nothing better than the reference.
"""

from __future__ import annotations

import numpy as np

from minideconv.engine.cpu import grouped
from minideconv.engine.cpu.order import taps_first, to_channels_last
from minideconv.engine.cpu.table import choose
from minideconv.engine.layout import contiguous, from_channels_last
from minideconv.ops import conv as ops
from minideconv.ops.im2col import Window

__all__ = ["conv2d", "conv2d_weight_grad", "conv_transpose2d"]


@ops.conv2d_core.faster("cpu")
def conv2d(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, window: Window, groups: int
) -> np.ndarray | None:
    """`ops.conv2d`: (N, C, H, W) and (K, C / G, kh, kw) -> (N, K, H', W')."""
    if not isinstance(x, np.ndarray):
        return None
    n, c, k = len(x), x.shape[1], len(weight)
    if groups != 1:
        if not grouped.fits("forward", window, n, c, k, groups, x.dtype):
            return None
        y = grouped.forward(to_channels_last(x), weight, contiguous(bias), window, groups)
        return from_channels_last(y)
    found = choose("forward", window, n, c, k, x.dtype)
    if found is None:
        return None
    y = found.forward(to_channels_last(x), taps_first(weight), contiguous(bias), window)
    return from_channels_last(y)


@ops.conv_transpose2d_core.faster("cpu")
def conv_transpose2d(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, window: Window, groups: int
) -> np.ndarray | None:
    """`ops.conv_transpose2d`: (N, K, H', W') and (K, C / G, kh, kw) -> (N, C, H, W)."""
    if not isinstance(x, np.ndarray):
        return None
    n, c, k = len(x), weight.shape[1] * groups, len(weight)
    if groups != 1:
        if not grouped.fits("input_grad", window, n, c, k, groups, x.dtype):
            return None
        y = grouped.input_grad(to_channels_last(x), weight, contiguous(bias), window, groups)
        return from_channels_last(y)
    found = choose("input_grad", window, n, c, k, x.dtype)
    if found is None:
        return None
    y = found.input_grad(to_channels_last(x), taps_first(weight), contiguous(bias), window)
    return from_channels_last(y)


@ops.conv2d_weight_grad_core.faster("cpu")
def conv2d_weight_grad(
    x: np.ndarray, dy: np.ndarray, window: Window, groups: int
) -> np.ndarray | None:
    """`ops.conv2d_weight_grad`: (N, C, H, W), (N, K, H', W') -> (K, C / G, kh, kw)."""
    if not isinstance(x, np.ndarray) or x.dtype != dy.dtype:
        return None
    n, c, k = len(x), x.shape[1], dy.shape[1]
    if groups != 1:
        if not grouped.fits("weight_grad", window, n, c, k, groups, x.dtype):
            return None
        dw = grouped.weight_grad(to_channels_last(x), to_channels_last(dy), window, groups)
        return dw.transpose(3, 2, 0, 1)
    found = choose("weight_grad", window, n, c, k, x.dtype)
    if found is None:
        return None
    dw = found.weight_grad(to_channels_last(x), to_channels_last(dy), window)
    return dw.transpose(3, 2, 0, 1)
