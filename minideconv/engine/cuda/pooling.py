"""Max pooling, unpooling and their backward passes on a GPU: one launch each, for any window.

A maximum's place is one byte beside it, a plane is written once, zeros and values together: memory
is read and written as in `engine.cpu.pooling`. What differs is the order. On the CPU a value is put
where it belongs; here every pixel belongs to a thread, which fetches the values that belong there.
So windows that overlap need no atomic additions, and the sums have one order.

The kernels are in kernels/pooling.cu. Windows of more than 256 taps, and float16, are left to the
reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.pixels import plan_for
from minideconv.engine.layout import from_channels_last, to_channels_last
from minideconv.ops.geometry import Window
from minideconv.ops.pooling import max_pool2d_core
from minideconv.ops.switch_numbers import tap_dtype
from minideconv.ops.unpooling import gather_taps, scatter_taps

__all__ = ["gather", "pool", "scatter"]

FILE = "pooling.cu"
MOST = 2**31
"""Pixels and windows of a batch are counted in 32 bits."""


@max_pool2d_core.faster("gpu")
def pool(x: Array, window: Window, want_taps: bool = True) -> tuple[Array, Array] | None:
    """Return each window's maximum and its tap, uint8: (N, C, H, W) -> (N, C, H', W'), twice."""
    if not fits(x, window):
        return None
    pixels, xp = to_channels_last(x), get_xp(x)
    y = xp.empty((len(x), *window.out, x.shape[1]), x.dtype)
    taps = xp.empty(y.shape, np.uint8)
    _launch("pool", (pixels, y, taps), y.shape, window)
    return from_channels_last(y), from_channels_last(taps)


@scatter_taps.faster("gpu")
def scatter(values: Array, taps: Array, window: Window) -> Array | None:
    """Add every value to the pixel at its switch, zeros elsewhere: `ops.unpooling`'s G*."""
    if not fits(values, window):
        return None
    y, t = to_channels_last(values), to_channels_last(taps)
    n, c = values.shape[:2]
    x = get_xp(values).empty((n, *window.size, c), values.dtype)
    if window.kernel == window.stride and window.dilation == (1, 1):
        down, across = (
            -(-(size + padding) // step)
            for size, padding, step in zip(window.size, window.padding, window.stride, strict=True)
        )
        _launch("scatter_tiles", (y, t, x), (n, down, across, c), window, down, across)
    else:
        _launch("scatter", (y, t, x), x.shape, window, window.overlaps)
    return from_channels_last(x)


@gather_taps.faster("gpu")
def gather(planes: Array, taps: Array, window: Window) -> Array | None:
    """Fetch the pixel at every switch: `ops.unpooling`'s G."""
    if not fits(planes, window):
        return None
    x, t = to_channels_last(planes), to_channels_last(taps)
    y = get_xp(planes).empty(t.shape, planes.dtype)
    _launch("gather", (x, t, y), y.shape, window)
    return from_channels_last(y)


def fits(x: Array, window: Window) -> bool:
    """Whether the kernels take these numbers and these windows."""
    pixels = window.size[0] * window.size[1] + window.out[0] * window.out[1]
    return (
        x.dtype in (np.float32, np.float64)
        and tap_dtype(window) == np.uint8
        and 0 < len(x) * pixels < MOST
        and x.size > 0
    )


def _launch(
    kernel: str, arrays: Sequence[Array], shape: Sequence[int], window: Window, *numbers: int
) -> None:
    """Launch a kernel of one thread for each piece of `shape` (N, rows, columns, C)."""
    *counts, channels = shape
    rows, w = prod(counts), window
    geometry = (*w.size, channels, *w.out, *w.kernel, *w.stride, *w.padding, *w.dilation)
    arguments = (*arrays, rows, *numbers, *geometry)
    plan_for(rows, *arrays, fold=False).launch(FILE, kernel, arguments)
