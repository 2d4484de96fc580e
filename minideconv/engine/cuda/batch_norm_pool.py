"""Batch normalisation, ReLU and max pooling of 2x2 in one on a GPU: three launches each way.

With x one unit of memory, what is read and written behind the statistics:

============================  =========================================  ===========================
forward                       one behind the other                       in one
normalise, rectify, pool      1 + 1, then 1 + 1/4 + 1/16                 1 + 1/4 + 1/16
backward                      unpool, sums, dx                           sums, dx
                              1/16 + 1/4 + 1, then 2, then 3             2 (1 + 1/4 + 1/16) + 1
============================  =========================================  ===========================

The kernels are in kernels/batch_norm_pool.cu. Other windows are left to batch norm and pooling.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.batch_norm import Affine, finish_gradient_sums
from minideconv.engine.cuda.module import launch
from minideconv.engine.cuda.pixels import Pixels, aligned, as_images, as_pixels, pixels_plan
from minideconv.engine.cuda.pooling import fits
from minideconv.engine.layout import from_channels_last, to_channels_last
from minideconv.ops.batch_norm import BatchNormSaved
from minideconv.ops.batch_norm_relu_pool import batch_norm_relu_pool_backward_core
from minideconv.ops.batch_norm_relu_pool import normalize_relu_pool as normalize_relu_pool_core
from minideconv.ops.geometry import Window

__all__ = ["batch_norm_relu_pool_backward", "normalize_relu_pool"]

FILE = "batch_norm_pool.cu"


@normalize_relu_pool_core.faster("gpu")
def normalize_relu_pool(
    x: Array, saved: BatchNormSaved, weight: Array | None, bias: Array | None, window: Window
) -> tuple[Array, Array] | None:
    """Return the maxima of the normalised and rectified map, and their taps, uint8."""
    pixels = as_pixels(x)
    if pixels is None or not _halves(x, window):
        return None
    xp, (n, c, h, w) = get_xp(x), x.shape
    y = xp.empty((n, *window.out, c), x.dtype)
    taps = xp.empty(y.shape, np.uint8)
    affine = Affine.of(saved, weight, bias, True, pixels)
    plan = _plan(n * window.out[0] * window.out[1], pixels)
    arguments = (pixels, *affine, y, taps, plan.rows, h, w, c)
    _launch("normalize_relu_pool", plan, plan.grid, x, arguments)
    return from_channels_last(y), from_channels_last(taps)


@batch_norm_relu_pool_backward_core.faster("gpu")
def batch_norm_relu_pool_backward(
    dy: Array,
    taps: Array,
    window: Window,
    x: Array,
    saved: BatchNormSaved,
    weight: Array | None,
    bias: Array | None,
    training: bool,
) -> tuple[Array, Array, Array] | None:
    """Return the gradients by x, weight and bias."""
    pixels = as_pixels(x)
    if pixels is None or dy.dtype != x.dtype or not _halves(x, window):
        return None
    n, c, h, w = x.shape
    above = to_channels_last(dy), to_channels_last(taps), pixels
    affine = Affine.of(saved, weight, bias, True, pixels)

    windows = _plan(n * window.out[0] * window.out[1], *above)
    totals = get_xp(x).empty((2, windows.parts, c), np.float64)
    arguments: tuple[Any, ...] = (*above, *affine, totals, windows.rows, h, w, c)
    _launch("gradient_sums", windows, (windows.parts, windows.wide), x, arguments)
    *sums, dweight, dbias = finish_gradient_sums(totals, affine, pixels)

    tiles = _plan(n * -(-h // 2) * -(-w // 2), *above)
    dx = get_xp(x).empty_like(pixels)
    arguments = (*above, *affine, *sums, len(pixels), training, dx, tiles.rows, h, w, c)
    _launch("gradient", tiles, tiles.grid, x, arguments)
    return as_images(dx, x), dweight, dbias


def _halves(x: Array, window: Window) -> bool:
    """Whether windows of 2x2 tile the plane."""
    halves = (window.size[0] // 2, window.size[1] // 2)
    return (
        (window.kernel, window.stride, window.dilation) == ((2, 2), (2, 2), (1, 1))
        and window.padding == (0, 0)
        and window.out == halves
        and fits(x, window)
    )


def _plan(rows: int, *arrays: Array) -> Pixels:
    x = arrays[-1]
    return pixels_plan(rows, x.shape[-1], x.dtype, fold=False, whole=aligned(*arrays))


def _launch(
    kernel: str, plan: Pixels, grid: tuple[int, int], x: Array, arguments: tuple[Any, ...]
) -> None:
    launch(FILE, kernel, 1, arguments, x.dtype, defines=plan.defines, block=plan.block, grid=grid)
