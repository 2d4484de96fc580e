"""Copies that a direct convolution needs: a padded band of an image, and weights in its order."""

from __future__ import annotations

from typing import Any

from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.vectors import LANES, load, load_part, splat, store, store_part

__all__ = ["copy", "copy_band", "pack_weights", "pack_weights_rotated", "widen"]

Array = Any  # flat float32, as numba sees it


@kernel
def copy(source: Array, start: int, target: Array, base: int, count: int) -> None:
    """``target[base : base + count] = source[start : start + count]``."""
    whole = count - count % LANES
    for i in range(0, whole, LANES):
        store(target, base + i, load(source, start + i))
    rest = count - whole
    store_part(target, base + whole, load_part(source, start + whole, rest), rest)


@kernel
def _clear(target: Array, base: int, count: int) -> None:
    """``target[base : base + count] = 0``."""
    whole = count - count % LANES
    for i in range(0, whole, LANES):
        store(target, base + i, splat(0.0))
    store_part(target, base + whole, splat(0.0), count - whole)


@kernel
def copy_band(
    x: Array,
    image: int,
    size: tuple[int, int],
    channels: int,
    top: int,
    left: int,
    band: Array,
    begin: int,
    rows: int,
    columns: int,
) -> None:
    """Copy `rows` x `columns` pixels of one image, from (top, left) on, to ``band[begin:]``.

    Zeros lie outside the image.
    """
    h, w = size
    zeros = min(max(-left, 0), columns)  # columns that lie left of the image
    first = max(left, 0)
    count = max(min(w - first, columns - zeros), 0)
    for r in range(rows):
        base = begin + r * columns * channels
        if 0 <= top + r < h:
            start = ((image * h + top + r) * w + first) * channels
            _clear(band, base, zeros * channels)
            copy(x, start, band, base + zeros * channels, count * channels)
            end = zeros + count
            _clear(band, base + end * channels, (columns - end) * channels)
        else:
            _clear(band, base, columns * channels)


@kernel
def widen(
    source: Array, start: int, target: Array, base: int, rows: int, count: int, width: int
) -> None:
    """Copy `rows` rows of `count` numbers into rows of `width`, zeros behind."""
    for r in range(rows):
        copy(source, start + r * count, target, base + r * width, count)
        _clear(target, base + r * width + count, width - count)


@kernel
def pack_weights(w: Array, rows: int, k: int, width: int, packed: Array) -> None:
    """(rows, K) -> (blocks of `width` columns, rows, width), zeros behind the last column.

    A kernel that works on one block of output channels then reads its weights in one run.
    """
    blocks = (k + width - 1) // width
    for block in range(blocks):
        first = block * width
        count = min(width, k - first)
        for r in range(rows):
            base = (block * rows + r) * width
            copy(w, r * k + first, packed, base, count)
            _clear(packed, base + count, width - count)


@kernel
def pack_weights_rotated(w: Array, taps: int, c: int, k: int, width: int, packed: Array) -> None:
    """(taps, C, K) -> such blocks of the weight turned by 180 degrees: (taps reversed, K, C)."""
    blocks = (c + width - 1) // width
    for block in range(blocks):
        first = block * width
        count = min(width, c - first)
        for tap in range(taps):
            source = w[
                ((taps - 1 - tap) * c + first) * k : ((taps - 1 - tap) * c + first + count) * k
            ]
            for row in range(k):
                base = ((block * taps + tap) * k + row) * width
                target = packed[base : base + width]
                for lane in range(count):
                    target[lane] = source[lane * k + row]
                for lane in range(count, width):
                    target[lane] = 0.0
