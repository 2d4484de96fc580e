"""The window of a pooling, from its arguments.

Padding holds no pixels: `Window.taps` gives, for every tap, only the outputs at which it meets a
real one. A whole pooling is then a loop over the taps, each a strided slice of the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from minideconv.backend import Array
from minideconv.ops import geometry
from minideconv.ops.geometry import Pair, Window, pairs

__all__ = ["check_images", "pool_window"]


def pool_window(
    op: str,
    size: Sequence[int],
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool = False,
    out: Any = None,
) -> Window:
    """Check a pooling's geometry and return its window.

    `out` is the number of windows where it is known, otherwise it follows from `ceil_mode`.
    """
    stride = kernel_size if stride is None else stride
    sizes = pairs(op, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    return _pool_window(op, (size[0], size[1]), *sizes.values(), bool(ceil_mode), out)


@lru_cache(maxsize=1024)  # a network has the same few windows at every step
def _pool_window(
    op: str, size: Pair, k: Pair, s: Pair, p: Pair, d: Pair, ceil_mode: bool, out: Pair | None
) -> Window:
    geometry.check_window(op, k, s, p, d)
    fitting = geometry.pool_output_size(size, k, s, p, d, ceil_mode, op) if out is None else out
    window = Window(size, k, s, p, d, fitting)
    for axis, name in enumerate(("height", "width")):
        taps = window.first_taps(axis)
        for start, tap in zip(window.starts(axis), taps, strict=True):
            if tap >= k[axis] or start + tap * d[axis] >= size[axis]:
                raise ValueError(
                    f"{op}: the window that starts at pixel {start} along {name} "
                    f"meets none of the input's {size[axis]} "
                    f"(kernel {k[axis]}, dilation {d[axis]}, padding {p[axis]}); "
                    "every window must see the input"
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
