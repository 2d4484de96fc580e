"""How switches are numbered: taps of a window, indices into a plane, and what is refused.

Helpers of `ops.switches`, one formula each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.ops import geometry
from minideconv.ops.geometry import Pair, Window

__all__ = [
    "check_indices",
    "check_plane_shape",
    "check_range",
    "index_dtype",
    "indices_from_taps",
    "plane_starts",
    "refuse",
    "rows_and_columns",
    "tap_dtype",
    "taps_from_indices",
]


# ---------------------------------------------------------------------------------------------
# Taps to indices and back


def tap_dtype(window: Window) -> Any:
    """Return the smallest unsigned type that numbers the window's taps, nearly always uint8."""
    return np.min_scalar_type(window.kernel[0] * window.kernel[1] - 1)


def index_dtype(plane: Pair) -> Any:
    """Return int32 if it numbers the plane's pixels, otherwise int64."""
    return np.int32 if plane[0] * plane[1] <= 2**31 else np.int64


def corners(window: Window, xp: Any) -> tuple[Array, Array]:
    """Return the row of every window's tap 0, shape (H', 1), and its column, shape (W',)."""
    rows, columns = (xp.asarray(list(window.starts(axis)), dtype=np.int64) for axis in (0, 1))
    return rows[:, None], columns


def rows_and_columns(taps: Array, window: Window) -> tuple[Array, Array]:
    """Return the pixel that every tap meets; outside the plane if it is in the padding."""
    top, left = corners(window, get_xp(taps))
    taps = taps.astype(np.int64)  # 8 bits would not hold i * dilation
    i, j = taps // window.kernel[1], taps % window.kernel[1]
    return top + i * window.dilation[0], left + j * window.dilation[1]


def indices_from_taps(taps: Array, window: Window) -> Array:
    """Return ``(top + i dh) W + left + j dw``: a table over the taps, plus the corner's index.

    The largest arrays are the result and what NumPy makes of `taps` to look them up.
    """
    xp, width, dtype = get_xp(taps), window.size[1], index_dtype(window.size)
    (kh, kw), (dh, dw), (top, left) = window.kernel, window.dilation, corners(window, xp)
    table = [i * dh * width + j * dw for i in range(kh) for j in range(kw)]
    indices = xp.take(xp.asarray(table, dtype=dtype), taps)
    indices += (top * width + left).astype(dtype)
    return indices


def taps_from_indices(indices: Array, window: Window) -> Array:
    """Return which tap of its window each index is; refuse an index outside its window."""
    top, left = corners(window, get_xp(indices))
    (kh, kw), (dh, dw) = window.kernel, window.dilation
    down, across = indices // window.size[1] - top, indices % window.size[1] - left
    i, j = down // dh, across // dw
    missed = (down % dh != 0) | (across % dw != 0) | (i < 0) | (i >= kh) | (j < 0) | (j >= kw)
    refuse(missed, indices, "indices", f"is not under the {kh} x {kw} window that it belongs to")
    return (i * kw + j).astype(tap_dtype(window))


def plane_starts(array: Array, plane_size: int) -> Array:
    """Return the index of every plane's first pixel in the tensor, shape (N, C, 1, 1)."""
    n, c = array.shape[:2]
    return get_xp(array).arange(n * c, dtype=np.int64).reshape(n, c, 1, 1) * plane_size


# ---------------------------------------------------------------------------------------------
# Refusals


def check_plane_shape(plane_shape: Any) -> Pair:
    """Return (height, width), both at least 1."""
    pair = geometry.pair(plane_shape, "plane_shape", "Switches")
    return geometry.check_at_least(pair, 1, "plane_shape", "Switches")


def check_indices(indices: Array, name: str) -> None:
    """Raise unless `indices` is a four-axis array of integers."""
    if indices.ndim != 4:
        raise ValueError(
            f"Switches: {name} has shape {indices.shape}; it must have 4 axes (N, C, H', W')"
        )
    if indices.dtype.kind not in "iu":
        raise TypeError(f"Switches: {name} has dtype {indices.dtype}; it must be an integer type")


def check_range(numbers: Array, stop: int, where: str) -> None:
    """Raise unless all of `numbers` are in ``range(stop)``."""
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < stop:
        raise ValueError(
            f"Switches: the indices run from {int(numbers.min())} to {int(numbers.max())}; "
            f"those of {where} are 0..{stop - 1}"
        )


def refuse(wrong: Array, numbers: Array, name: str, reason: str) -> None:
    """Raise if any of `numbers` is `wrong`, naming the first and how many."""
    count = int(wrong.sum())
    if count:
        at = tuple(int(axis[0]) for axis in wrong.nonzero())
        raise ValueError(
            f"Switches: {name}[{', '.join(map(str, at))}] is {int(numbers[at])}, which {reason} "
            f"({count} of {wrong.size} are wrong)"
        )
