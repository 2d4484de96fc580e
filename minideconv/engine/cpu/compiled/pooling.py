"""Pooling, unpooling and their backward passes for windows of 2x2 that do not overlap, compiled.

Channels last, a window is four runs of C numbers: two beside each other, two in the line below. The
kernels go over them sixteen channels at a time and over the image once; C need not be a multiple of
16 (the last vector then begins earlier and does some channels twice) but must not be smaller. Maps
have an even part that windows cover; what is left of an odd one they do not touch.

`first` to `last` are lines of windows, counted through all images: parts for different threads.
`past`: write past the caches (see `streams`).
"""

from __future__ import annotations

import numpy as np

from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.selections import (
    larger,
    load_taps,
    store_taps,
    tap_of_larger,
    where_tap,
)
from minideconv.engine.cpu.compiled.streams import put
from minideconv.engine.cpu.compiled.vectors import LANES, load, splat

__all__ = ["gather", "pool", "scatter"]


@kernel(writes="y taps")
def pool(x, y, taps, first, last, height, width, channels, past):
    """Write each window's maximum to `y` and its number, 0 to 3, to `taps`."""
    line = width * channels
    none = load_taps(np.zeros(LANES, np.uint8), 0)
    for row in range(first, last):
        n, i = divmod(row, height // 2)
        for j in range(width // 2):
            corner = (n * height + 2 * i) * line + 2 * j * channels
            base = (row * (width // 2) + j) * channels
            for c in range(0, channels, LANES):
                k = min(c, channels - LANES)
                best, tap = load(x, corner + k), none
                new = load(x, corner + k + channels)
                best, tap = larger(new, best), tap_of_larger(new, best, 1, tap)
                new = load(x, corner + k + line)
                best, tap = larger(new, best), tap_of_larger(new, best, 2, tap)
                new = load(x, corner + k + line + channels)
                best, tap = larger(new, best), tap_of_larger(new, best, 3, tap)
                put(y, base + k, best, past)
                store_taps(taps, base + k, tap)


@kernel(writes="x")
def scatter(x, y, taps, first, last, height, width, channels, past):
    """Write each value to the pixel of its tap, and zeros to the other three."""
    line = width * channels
    zeros = splat(np.float32(0))
    for row in range(first, last):
        n, i = divmod(row, height // 2)
        for j in range(width // 2):
            corner = (n * height + 2 * i) * line + 2 * j * channels
            base = (row * (width // 2) + j) * channels
            for c in range(0, channels, LANES):
                k = min(c, channels - LANES)
                value, tap = load(y, base + k), load_taps(taps, base + k)
                put(x, corner + k, where_tap(tap, 0, value, zeros), past)
                put(x, corner + k + channels, where_tap(tap, 1, value, zeros), past)
                put(x, corner + k + line, where_tap(tap, 2, value, zeros), past)
                put(x, corner + k + line + channels, where_tap(tap, 3, value, zeros), past)


@kernel(writes="y")
def gather(x, y, taps, first, last, height, width, channels, past):
    """Fetch the pixel of each tap."""
    line = width * channels
    for row in range(first, last):
        n, i = divmod(row, height // 2)
        for j in range(width // 2):
            corner = (n * height + 2 * i) * line + 2 * j * channels
            base = (row * (width // 2) + j) * channels
            for c in range(0, channels, LANES):
                k = min(c, channels - LANES)
                tap = load_taps(taps, base + k)
                value = load(x, corner + k)
                value = where_tap(tap, 1, load(x, corner + k + channels), value)
                value = where_tap(tap, 2, load(x, corner + k + line), value)
                value = where_tap(tap, 3, load(x, corner + k + line + channels), value)
                put(y, base + k, value, past)
