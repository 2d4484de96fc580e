"""Convolution in groups: each group is a convolution of its own, on some of the channels.

    y[:, group of K] = conv2d(x[:, group of C], W[group of K])

Channels last, a group's channels are a run of C / G numbers in every pixel. They are copied to an
image of their own, on which the table's algorithm for a convolution of that size works: one pass
over the image for each direction, which is little beside the products from four channels in a group
on. With one channel in a group and one output for it there is no sum at all: `depthwise`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minideconv.backend.algorithms import compiled, get_algorithm
from minideconv.engine.cpu import depthwise
from minideconv.engine.cpu.algorithm import Algorithm
from minideconv.engine.cpu.memory import empty
from minideconv.engine.cpu.order import taps_first
from minideconv.engine.cpu.table import choose
from minideconv.ops.im2col import Window

__all__ = ["fits", "forward", "input_grad", "weight_grad"]

_LEAST = 4  # channels in a group, in and out: with fewer, a call for each group costs more


def fits(operation: str, window: Window, n: int, c: int, k: int, groups: int, dtype: Any) -> bool:
    """Return whether these functions have something better than the reference."""
    if get_algorithm() == "reference":
        return False
    if c == k == groups:
        return np.dtype(dtype).itemsize in (4, 8) and n > 0
    small = min(c, k) < _LEAST * groups
    return not small and choose(operation, window, n, c // groups, k // groups, dtype) is not None


def _depthwise(x: np.ndarray, groups: int, k: int, c: int) -> Any:
    """Return the module for one channel in a group, or None."""
    if not c == k == groups:
        return None
    if x.dtype == np.float32 and compiled():
        from minideconv.engine.cpu.compiled import depthwise as kernels

        return kernels
    return depthwise


def _each(groups: int, channels: int) -> list[slice]:
    size = channels // groups
    return [slice(g * size, (g + 1) * size) for g in range(groups)]


def _some(x: np.ndarray, channels: slice) -> np.ndarray:
    return np.ascontiguousarray(x[..., channels])


def _some_bias(bias: np.ndarray | None, channels: slice) -> np.ndarray | None:
    return None if bias is None else np.ascontiguousarray(bias[channels])


def _chosen(operation: str, window: Window, n: int, c: int, k: int, dtype: Any) -> Algorithm:
    found = choose(operation, window, n, c, k, dtype)
    assert found is not None, "the caller asks `fits`"
    return found


def forward(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, window: Window, groups: int
) -> np.ndarray:
    """(N, H, W, C) * (K, C / G, kh, kw) -> (N, H', W', K)."""
    n, k, c = len(x), len(weight), x.shape[3]
    module = _depthwise(x, groups, k, c)
    if module is not None:
        result: np.ndarray = module.forward(x, taps_first(weight)[:, :, 0], bias, window)
        return result
    compute = _chosen("forward", window, n, c // groups, k // groups, x.dtype).forward
    y = empty((n, *window.out, k), x.dtype)
    for inside, outside in zip(_each(groups, c), _each(groups, k), strict=True):
        some_bias = _some_bias(bias, outside)
        y[..., outside] = compute(_some(x, inside), taps_first(weight[outside]), some_bias, window)
    return y


def input_grad(
    dy: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, window: Window, groups: int
) -> np.ndarray:
    """(N, H', W', K) * (K, C / G, kh, kw) -> (N, H, W, C)."""
    n, k, c = len(dy), len(weight), weight.shape[1] * groups
    module = _depthwise(dy, groups, k, c)
    if module is not None:
        result: np.ndarray = module.input_grad(dy, taps_first(weight)[:, :, 0], bias, window)
        return result
    compute = _chosen("input_grad", window, n, c // groups, k // groups, dy.dtype).input_grad
    dx = empty((n, *window.size, c), dy.dtype)
    for inside, outside in zip(_each(groups, c), _each(groups, k), strict=True):
        some_bias = _some_bias(bias, inside)
        dx[..., inside] = compute(
            _some(dy, outside), taps_first(weight[outside]), some_bias, window
        )
    return dx


def weight_grad(x: np.ndarray, dy: np.ndarray, window: Window, groups: int) -> np.ndarray:
    """(N, H, W, C), (N, H', W', K) -> (kh, kw, C / G, K)."""
    n, c, k = len(x), x.shape[3], dy.shape[3]
    module = _depthwise(x, groups, k, c)
    if module is not None:
        result: np.ndarray = module.weight_grad(x, dy, window)[:, :, None]
        return result
    compute: Callable[..., np.ndarray] = _chosen(
        "weight_grad", window, n, c // groups, k // groups, x.dtype
    ).weight_grad
    dw = empty((*window.kernel, c // groups, k), x.dtype)
    for inside, outside in zip(_each(groups, c), _each(groups, k), strict=True):
        dw[..., outside] = compute(_some(x, inside), _some(dy, outside), window)
    return dw
