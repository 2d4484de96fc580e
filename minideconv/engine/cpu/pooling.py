"""Max pooling, unpooling and their backward passes for windows of 2x2, in one walk over memory.

DeconvNet halves its maps with windows of 2x2, 2 pixels apart, that tile the plane. Such a window is
small enough to be kept in registers: read its four pixels, write the largest and, in one byte,
which one it was. With x one unit of memory:

==========================  ==========================================  ==============
pool                        read x, write y and the switches            1 + 1/4 + 1/16
unpool = backward of pool   read y and the switches, write x            1/4 + 1/16 + 1
backward of unpool          read x and the switches, write y            1 + 1/16 + 1/4
==========================  ==========================================  ==============

The unpooled map is written once, zeros and values together; where it is filled with zeros first, or
once for each tap, memory sees it twice or five times. A switch as an index of 8 bytes, as PyTorch
keeps it, would be half as large as x.

Arrays must be stored channels last, and other windows are left to the reference. The kernels are in
`engine.cpu.compiled.pooling`; what stands here does the same in NumPy, some lines of the image at a
time, for float64, fewer than 16 channels, or without numba. Ties and NaN: see `ops.pooling`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minideconv.backend.algorithms import compiled
from minideconv.backend.parallel import map_ordered, part_size
from minideconv.engine.cpu.memory import empty
from minideconv.engine.layout import from_channels_last
from minideconv.ops.geometry import Window
from minideconv.ops.pooling import max_pool2d_core
from minideconv.ops.unpooling import gather_taps, scatter_taps

__all__ = ["bindable", "bound", "gather", "pool", "scatter"]

PART = 1 << 20  # pixels' numbers in a part for a thread, at most
BLOCK = 1 << 16  # and in a block that NumPy works on


@max_pool2d_core.faster("cpu")
def pool(
    x: np.ndarray, window: Window, want_taps: bool = True
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return each window's maximum and its tap, uint8: (N, C, H, W) -> (N, C, H/2, W/2), twice."""
    if not fits(x, window):
        return None
    n, c, h, w = x.shape
    pixels = x.transpose(0, 2, 3, 1)
    y = empty((n, h // 2, w // 2, c), x.dtype)
    taps = empty(y.shape, np.uint8)
    if any(_walk("pool", _pool, pixels, y, taps, y)):
        return None  # NaN has rules of its own
    return from_channels_last(y), from_channels_last(taps)


@scatter_taps.faster("cpu")
def scatter(values: np.ndarray, taps: np.ndarray, window: Window) -> np.ndarray | None:
    """Write every value to the pixel at its switch and zeros elsewhere: `ops.unpooling`'s G*."""
    if not fits(values, window):
        return None
    n, c = values.shape[:2]
    h, w = window.size
    y, t = values.transpose(0, 2, 3, 1), np.ascontiguousarray(taps.transpose(0, 2, 3, 1))
    x = empty((n, h, w, c), values.dtype)
    if h % 2 or w % 2:  # an odd line or column belongs to no window
        x[:, h // 2 * 2 :] = 0
        x[:, :, w // 2 * 2 :] = 0
    _walk("scatter", _scatter, x, y, t, x)
    return from_channels_last(x)


@gather_taps.faster("cpu")
def gather(planes: np.ndarray, taps: np.ndarray, window: Window) -> np.ndarray | None:
    """Fetch the pixel at every switch: `ops.unpooling`'s G."""
    if not fits(planes, window):
        return None
    n, c, h, w = planes.shape
    x, t = planes.transpose(0, 2, 3, 1), np.ascontiguousarray(taps.transpose(0, 2, 3, 1))
    y = empty((n, h // 2, w // 2, c), planes.dtype)
    _walk("gather", _gather, x, y, t, y)
    return from_channels_last(y)


def fits(x: np.ndarray, window: Window) -> bool:
    """Whether windows of 2x2 tile the plane, and `x` is stored channels last."""
    return (
        type(x) is np.ndarray
        and _tiles(window)
        and x.dtype in (np.float32, np.float64)
        and x.transpose(0, 2, 3, 1).flags.c_contiguous
    )


def _tiles(window: Window) -> bool:
    """Whether windows of 2x2 tile the plane."""
    return (
        (window.kernel, window.stride, window.dilation) == ((2, 2), (2, 2), (1, 1))
        and window.padding == (0, 0)
        and window.out == (window.size[0] // 2, window.size[1] // 2)
    )


def bindable(window: Window, c: int) -> bool:
    """Whether `bound` can, of float32 with `c` channels, where kernels are compiled."""
    return _tiles(window) and c >= 16


def bound(name: str, x: np.ndarray, y: np.ndarray, taps: np.ndarray) -> Callable[[], Any]:
    """Return a function without arguments that does "pool" or "scatter" on these arrays.

    They are stored channels last: x (N, H, W, C), y and taps (N, H // 2, W // 2, C).
    """
    n, h, w, c = x.shape
    odd = [x[:, h // 2 * 2 :], x[:, :, w // 2 * 2 :]] if h % 2 or w % 2 else []

    def walk() -> None:
        if name == "scatter":
            for rest in odd:
                rest[...] = 0
        _walk(name, None, x, y, taps, y if name == "pool" else x)

    if odd or n * h * w * c > PART // 2:
        return walk
    from minideconv.engine.cpu.compiled import pooling as kernels

    flat = [array.reshape(-1) for array in (x, y, taps)]
    return partial(getattr(kernels, name), *flat, 0, n * (h // 2), h, w, c, False)


def _walk(
    name: str, in_numpy: Any, x: np.ndarray, y: np.ndarray, taps: np.ndarray, out: np.ndarray
) -> list[Any]:
    """Call the compiled function `name`, or `in_numpy`, on parts of the arrays; `out` is new.

    Return what it returned: of NumPy's `_pool`, whether there is a NaN.
    """
    n, h, w, c = x.shape
    if not compiled() or x.dtype != np.float32 or c < 16:
        return _in_blocks(in_numpy, x, y, taps)
    from minideconv.engine.cpu.compiled import pooling as kernels
    from minideconv.engine.cpu.compiled.streams import streamed

    kernel, past = getattr(kernels, name), streamed(out) and c % 16 == 0
    flat = [array.reshape(-1) for array in (x, y, taps)]
    lines = n * (h // 2)
    step = max(1, part_size(x.size, PART) // (2 * w * c))

    def call(first: int) -> None:
        kernel(*flat, first, min(first + step, lines), h, w, c, past)

    return map_ordered(call, range(0, lines, step))


# ---------------------------------------------------------------------------------------------
# NumPy


def _in_blocks(function: Any, x: np.ndarray, *arrays: np.ndarray) -> list[Any]:
    """Call `function` on blocks of the pixels (N, H, W, C) and of the arrays of windows.

    A block of pixels is seen as (lines, 2, W/2, 2, C): the four taps are ``[:, i, :, j]``.
    """
    if x.shape[1] % 2 == 0:  # the images are one high one
        x = x.reshape(1, -1, *x.shape[2:])
        arrays = tuple(array.reshape(1, -1, *array.shape[2:]) for array in arrays)
    n, h, w, c = x.shape
    step = max(1, BLOCK // (2 * w * c))
    blocks = []
    for image in range(n):
        for first in range(0, h // 2, step):
            last = min(first + step, h // 2)
            block = x[image, 2 * first : 2 * last, : w // 2 * 2]
            block = block.reshape(last - first, 2, w // 2, 2, c)
            blocks.append((block, *(array[image, first:last] for array in arrays)))

    def work(part: range) -> list[Any]:
        return [function(*blocks[i]) for i in part]

    size = max(1, part_size(x.size, PART) // BLOCK)
    parts = [range(len(blocks))[i : i + size] for i in range(0, len(blocks), size)]
    return [result for results in map_ordered(work, parts) for result in results]


def _pool(x: np.ndarray, y: np.ndarray, taps: np.ndarray) -> bool:
    """Pool left and right, then upper and lower, so that the first of equals stays.

    Return whether there is a NaN.
    """
    left, right = x[:, :, :, 0], x[:, :, :, 1]
    is_right = np.greater(right, left).view(np.uint8)
    best = np.maximum(left, right)
    is_lower = np.greater(best[:, 1], best[:, 0]).view(np.uint8)
    np.maximum(best[:, 0], best[:, 1], out=y)
    lower = is_right[:, 1]
    lower += 2
    lower -= is_right[:, 0]
    lower *= is_lower
    np.add(is_right[:, 0], lower, out=taps)  # the upper one, or the lower one where it won
    return bool(np.isnan(y).any())


def _scatter(x: np.ndarray, y: np.ndarray, taps: np.ndarray) -> None:
    bits = f"i{y.itemsize}"
    for tap in range(4):
        np.multiply(y.view(bits), taps == tap, out=x.view(bits)[:, tap // 2, :, tap % 2])


def _gather(x: np.ndarray, y: np.ndarray, taps: np.ndarray) -> None:
    bits = f"i{y.itemsize}"
    found = y.view(bits)
    np.multiply(x.view(bits)[:, 0, :, 0], taps == 0, out=found)
    for tap in range(1, 4):
        found |= x.view(bits)[:, tap // 2, :, tap % 2] * (taps == tap)
