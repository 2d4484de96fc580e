"""Copies that a direct convolution needs: a padded band of an image, and weights in its order."""

from __future__ import annotations

from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.vectors import LANES, load, load_part, splat, store, store_part

__all__ = ["copy", "copy_band", "pack_weights", "pack_weights_rotated", "widen"]


@kernel(writes="target")
def copy(source, start, target, base, count):
    """``target[base : base + count] = source[start : start + count]``."""
    whole = count - count % LANES
    for i in range(0, whole, LANES):
        store(target, base + i, load(source, start + i))
    rest = count - whole
    store_part(target, base + whole, load_part(source, start + whole, rest), rest)


@kernel(writes="target")
def _clear(target, base, count):
    """``target[base : base + count] = 0``."""
    whole = count - count % LANES
    for i in range(0, whole, LANES):
        store(target, base + i, splat(0.0))
    store_part(target, base + whole, splat(0.0), count - whole)


@kernel(writes="band")
def copy_band(x, image, size, channels, top, left, band, begin, rows, columns):
    """Copy `rows` x `columns` pixels of one image, from (top, left) on, to ``band[begin:]``.

    Outside the image there are zeros.
    """
    h, w = size
    zeros = min(max(-left, 0), columns)  # columns left of the image
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


@kernel(writes="target")
def widen(source, start, target, base, rows, count, width):
    """Copy `rows` rows of `count` numbers into rows of `width`, zeros behind."""
    for r in range(rows):
        copy(source, start + r * count, target, base + r * width, count)
        _clear(target, base + r * width + count, width - count)


@kernel(writes="packed")
def pack_weights(w, rows, k, width, packed):
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


@kernel(writes="packed")
def pack_weights_rotated(w, taps, c, k, width, packed):
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
