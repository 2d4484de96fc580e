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

from math import prod
from typing import Any

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.batch_norm import affine, finish_gradient_sums
from minideconv.engine.cuda.pixels import as_pixels, plan_for
from minideconv.engine.cuda.pooling import fits
from minideconv.engine.layout import as_images, from_channels_last, to_channels_last
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
    line = affine(saved, weight, bias, True, pixels)
    plan = plan_for(n * prod(window.out), pixels, fold=False)
    arguments = (pixels, *line, y, taps, plan.rows, h, w, c)
    plan.launch(FILE, "normalize_relu_pool", arguments)
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
    line = affine(saved, weight, bias, True, pixels)

    windows = plan_for(n * prod(window.out), *above, fold=False)
    totals = get_xp(x).empty((2, windows.parts, c), np.float64)
    arguments: tuple[Any, ...] = (*above, *line, totals, windows.rows, h, w, c)
    windows.launch(FILE, "gradient_sums", arguments, adds_up=True)
    *sums, dweight, dbias = finish_gradient_sums(totals, saved, pixels)

    tiles = plan_for(n * -(-h // 2) * -(-w // 2), *above, fold=False)
    dx = get_xp(x).empty_like(pixels)
    arguments = (*above, *line, *sums, len(pixels), training, dx, tiles.rows, h, w, c)
    tiles.launch(FILE, "gradient", arguments)
    return as_images(dx, x), dweight, dbias


def _halves(x: Array, window: Window) -> bool:
    """Whether windows of 2x2 tile the plane."""
    w, out = window, (window.size[0] // 2, window.size[1] // 2)
    geometry = (w.kernel, w.stride, w.padding, w.dilation, w.out)
    return geometry == ((2, 2), (2, 2), (0, 0), (1, 1), out) and fits(x, window)
