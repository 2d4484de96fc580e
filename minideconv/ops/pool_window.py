"""The window that pooling slides over a plane: where it stops, which pixel each of its taps meets.

Along one axis, tap ``i`` of the window at output ``o`` meets the pixel

    o * stride - padding + i * dilation

Padding holds no pixels: `PoolWindow.taps` gives, for every tap, only the outputs at which it meets
a real one. A whole pooling is then a loop over the taps, each a strided slice of the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from minideconv.backend import Array
from minideconv.ops import geometry
from minideconv.ops.geometry import Pair

__all__ = ["IntPair", "PoolWindow", "check_images", "pool_window"]

IntPair = int | tuple[int, int]
Slices = tuple[slice, slice]
_AXES = ("height", "width")


@dataclass(frozen=True, slots=True)
class PoolWindow:
    """A window over a plane of ``size`` pixels; it stops at ``out`` positions."""

    size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    out: Pair

    def starts(self, axis: int) -> range:
        """Return the pixel under tap 0 of every window along `axis`; negative in the padding."""
        step, first = self.stride[axis], -self.padding[axis]
        return range(first, first + self.out[axis] * step, step)

    def taps(self) -> Iterator[tuple[int, Slices, Slices]]:
        """Yield ``(number, outputs, pixels)`` of every tap, in row-major order.

        ``y[:, :, *outputs]`` are the windows whose tap `number` lies on the plane, and
        ``x[:, :, *pixels]`` the pixels that it meets there.
        """
        for i, out_rows, rows in self.axis_taps(0):
            for j, out_columns, columns in self.axis_taps(1):
                yield i * self.kernel[1] + j, (out_rows, out_columns), (rows, columns)

    def axis_taps(self, axis: int) -> Iterator[tuple[int, slice, slice]]:
        """Yield ``(i, outputs, pixels)`` of every tap along one axis."""
        step = self.stride[axis]
        for i in range(self.kernel[axis]):
            shift = i * self.dilation[axis] - self.padding[axis]  # output o meets o * step + shift
            first = max(0, -(shift // step))
            stop = min(self.out[axis], (self.size[axis] - 1 - shift) // step + 1)
            if first < stop:
                start = first * step + shift
                end = start + (stop - first - 1) * step + 1
                yield i, slice(first, stop), slice(start, end, step)

    def first_taps(self, axis: int) -> list[int]:
        """Return, for every window along `axis`, the first tap that lies on the plane."""
        return [max(0, -(start // self.dilation[axis])) for start in self.starts(axis)]

    @property
    def overlaps(self) -> bool:
        """Whether two windows share a pixel: a whole number of steps is a whole number of taps."""
        return any(
            math.lcm(s, d) <= (k - 1) * d and math.lcm(s, d) // s < out
            for k, s, d, out in zip(self.kernel, self.stride, self.dilation, self.out, strict=True)
        )


def pool_window(
    op: str,
    size: Pair,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool = False,
    out: Pair | None = None,
) -> PoolWindow:
    """Check a pooling's geometry and return its window.

    `out` is the number of windows where it is known, otherwise it follows from `ceil_mode`.
    """
    k = geometry.pair(kernel_size, "kernel_size", op)
    s = k if stride is None else geometry.pair(stride, "stride", op)
    p, d = geometry.pair(padding, "padding", op), geometry.pair(dilation, "dilation", op)
    return _pool_window(op, (size[0], size[1]), k, s, p, d, bool(ceil_mode), out)


@lru_cache(maxsize=1024)  # a network asks the same few questions at every step
def _pool_window(
    op: str, size: Pair, k: Pair, s: Pair, p: Pair, d: Pair, ceil_mode: bool, out: Pair | None
) -> PoolWindow:
    geometry.check_window(op, k, s, p, d)
    fitting = geometry.pool_output_size(size, k, s, p, d, ceil_mode, op) if out is None else out
    window = PoolWindow(size, k, s, p, d, fitting)
    for axis, name in enumerate(_AXES):
        taps = window.first_taps(axis)
        for start, tap in zip(window.starts(axis), taps, strict=True):
            if tap >= k[axis] or start + tap * d[axis] >= size[axis]:
                raise ValueError(
                    f"{op}: the window that starts at pixel {start} along {name} meets none of the"
                    f" input's {size[axis]} (kernel {k[axis]}, dilation {d[axis]}, padding"
                    f" {p[axis]}); every window must see the input"
                )
    return window


def check_images(op: str, name: str, array: Array) -> None:
    """Raise unless `array` is a batch of images in floating point."""
    if array.ndim != 4:
        raise ValueError(f"{op}: {name} has shape {array.shape}; it must have 4 axes (N, C, H, W)")
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise TypeError(
            f"{op}: {name} has dtype {array.dtype}; it must be float16, float32 or float64"
        )
