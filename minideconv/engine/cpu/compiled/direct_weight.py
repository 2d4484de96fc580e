"""The gradient of a convolution by its weight, without a patch matrix.

    dW[i, j, c, k] = sum_{n, p, q} x[n, p sh + i dh - ph, q sw + j dw - pw, c] dy[n, p, q, k]

It is `direct`'s tile with other meanings. At one output pixel, x under the taps of one row of the
kernel is a run of E = kw C numbers (one tap's C numbers if taps are not neighbours), and dy is K
numbers; dW is the sum over pixels of their outer product. A tile holds R x 16 Q of these sums and
the inner loop runs over pixels.

Which of the two gives the R numbers and which the 16 Q lanes is free. Usually the lanes are output
channels. With few of them (K = 16: one vector, so that every product would need a load of its own)
the lanes run over x and the numbers come from dy: C = 16 then gives runs of 48, Q = 3.

The sums over a unit (some rows of an image, or some small images) stay in registers; units are
added up behind them. So rounding does not grow with the number of pixels, and x and dy of a unit
are still in the cache when the next tile passes over them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu.compiled.copies import copy, copy_band, widen
from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.plan import WIDE, cut, operations, reach, shape
from minideconv.engine.cpu.compiled.streams import prefetch
from minideconv.engine.cpu.compiled.tiles import tile_fma, tile_store, tile_zeros
from minideconv.engine.cpu.compiled.vectors import LANES, load, store
from minideconv.engine.cpu.memory import empty, workspace
from minideconv.ops.im2col import Window

__all__ = ["weight_grad"]

# (R, Q): R Q vectors of sums, Q more and one number have to fit into the registers
_TILES = ((16, 1), (9, 1), (9, 2), (12, 2), (8, 3), (6, 4), (4, 5)) if WIDE else ((6, 1),)
_PIXELS = 512  # in a unit: so many of x and dy stay near


@cache
def _correlate(R: int, Q: int) -> Callable[..., None]:
    width = LANES * Q

    @kernel(writes="total padded")
    def correlate(
        x, dy, total, padded, columns, lanes, crossed, window, n, c, k, band, together, first, last
    ):
        """Compute the sums over the units `first` to `last`: `total` holds tile after tile.

        A unit is `band` output rows of one image, or `together` whole images. `columns` is the
        width of the padded copy of x, or 0 if none is needed; `lanes` that of dy's, behind it.
        `crossed`: dy gives the numbers, x the lanes.
        """
        size, taps, stride, padding, dilation, out = window
        (kh, kw), (sh, sw), (dh, dw), (ho, wo) = taps, stride, dilation, out
        runs, length = (1, kw * c) if dw == 1 else (kw, c)
        numbers, vectors = (k, length) if crossed else (length, k)
        bands = (ho + band - 1) // band
        sums_of_unit = np.empty(R * width, np.float32)
        for unit in range(first, last):
            image, top = unit // bands * together, unit % bands * band
            images, rows = min(together, n - image), min(band, ho - top)
            xs, x_place, x_pitch = x, (image * size[0] + top * sh) * size[1] * c, size[1] * c
            x_image = size[0] * x_pitch
            if columns:
                count = (rows - 1) * sh + (kh - 1) * dh + 1
                xs, x_place, x_pitch, x_image = padded, 0, columns * c, count * columns * c
                above, left = top * sh - padding[0], -padding[1]
                for m in range(images):
                    copy_band(
                        x, image + m, size, c, above, left, padded, m * x_image, count, columns
                    )
            gs, g_place, g_step = dy, (image * ho + top) * wo * k, k
            if lanes:
                behind = padded.size - together * band * wo * lanes
                widen(dy, g_place, padded, behind, images * rows * wo, k, lanes)
                gs, g_place, g_step = padded, behind, lanes
            next_x, next_g = images * rows * sh * x_pitch, images * rows * wo * g_step
            base = 0
            for i in range(kh):
                for j in range(runs):
                    under = x_place + i * dh * x_pitch + j * dw * c
                    for first_v in range(0, vectors, width):
                        for first_r in range(0, numbers, R):
                            r = max(min(first_r, numbers - R), 0)
                            sums = tile_zeros(R, Q)
                            g = g_place
                            early = i == 0 and j == 0 and first_r == 0  # once for each number
                            for m in range(images):
                                for p in range(rows):
                                    u = under + m * x_image + p * sh * x_pitch
                                    if crossed:
                                        for _ in range(wo):
                                            sums = tile_fma(
                                                R, Q, sums, gs, g + r, 1, xs, u + first_v
                                            )
                                            if early and not columns:
                                                for v in range(first_v, first_v + width, LANES):
                                                    prefetch(xs, u + next_x + v)
                                            u += sw * c
                                            g += g_step
                                    else:
                                        for _ in range(wo):
                                            sums = tile_fma(
                                                R, Q, sums, xs, u + r, 1, gs, g + first_v
                                            )
                                            if early:
                                                for v in range(first_v, first_v + width, LANES):
                                                    prefetch(gs, g + next_g + v)
                                            u += sw * c
                                            g += g_step
                            if unit == first:
                                tile_store(R, Q, sums, total, base, width)
                            else:
                                tile_store(R, Q, sums, sums_of_unit, 0, width)
                                for v in range(0, R * width, LANES):
                                    old = load(total, base + v)
                                    store(total, base + v, old + load(sums_of_unit, v))
                            base += R * width

    return correlate


@kernel(writes="totals dw")
def _collect(totals, parts, size, tile, crossed, taps, length, k, dw):
    """Add up the `parts` totals of `size` numbers, in order, and put their tiles in place."""
    R, width = tile
    for at in range(0, size, LANES):
        sums = load(totals, at)
        for part in range(1, parts):
            sums = sums + load(totals, part * size + at)
        store(totals, at, sums)
    numbers, vectors = (k, length) if crossed else (length, k)
    base = 0
    for tap in range(taps):
        for first_v in range(0, vectors, width):
            count = min(width, vectors - first_v)
            for first_r in range(0, numbers, R):
                r = max(min(first_r, numbers - R), 0)
                for row in range(min(R, numbers)):
                    start = base + row * width
                    if crossed:
                        there = (tap * length + first_v) * k + r + row
                        for v in range(count):
                            dw[there + v * k] = totals[start + v]
                    else:
                        copy(totals, start, dw, (tap * length + r + row) * k + first_v, count)
                base += R * width


class _Plan(NamedTuple):
    tile: tuple[int, int]
    crossed: bool  # dy gives the numbers, x the lanes
    size: int  # numbers in all tiles
    columns: int  # of the padded copy of x, 0 if none is needed
    lanes: int  # channels of the padded copy of dy, 0 if none is needed
    room: int  # numbers in both copies
    band: int  # output rows in a unit
    together: int  # whole images in a unit, if they are small
    shape: tuple[tuple[int, int], ...]
    operations: float  # for an image


def _runs(window: Window, c: int) -> tuple[int, int]:
    """Return how many runs of x are under a window, and how long they are."""
    kh, kw = window.kernel
    return (kh, kw * c) if window.dilation[1] == 1 else (kh * kw, c)


def _cycles(tile: tuple[int, int], numbers: int, vectors: int) -> float:
    """Return what one pixel costs with this tile, from its products and loads."""
    r, q = tile
    step = max(r * q, r + q, 8) / 2 + 0.5
    return -(-numbers // r) * -(-vectors // (LANES * q)) * step


@lru_cache(1024)
def _plan(window: Window, c: int, k: int) -> _Plan:
    (kh, kw), (sh, sw), (dh, dw) = window.kernel, window.stride, window.dilation
    (_, w), (ho, wo) = window.size, window.out
    taps, length = _runs(window, c)
    tile, crossed = min(
        ((tile, crossed) for crossed in (False, True) for tile in _TILES),
        key=lambda found: _cycles(found[0], *((k, length) if found[1] else (length, k))),
    )
    (r, q), (numbers, vectors) = tile, (k, length) if crossed else (length, k)
    width = LANES * q
    blocks = -(-vectors // width)
    # a tile that sticks out reads what is behind the last number: zeros or other pixels
    whole_x = length % width == 0 if crossed else length >= r
    whole_dy = k >= r if crossed else k % width == 0
    lanes = 0 if whole_dy else max(r, k) if crossed else blocks * width
    columns = reach(wo, kw, sw, dw)
    if window.padding == (0, 0) and columns <= w and whole_x:
        columns = 0
    band = max(1, min(ho, _PIXELS // wo))
    together = max(1, _PIXELS // (ho * wo))
    behind = together * reach(band, kh, sh, dh) * columns * c + max(r, width)
    size = taps * blocks * -(-numbers // r) * r * width
    room = behind + together * band * wo * lanes
    calls = (shape(window), operations(window, c, k))
    return _Plan(tile, crossed, size, columns, lanes, room, band, together, *calls)


def weight_grad(x: np.ndarray, dy: np.ndarray, window: Window) -> np.ndarray:
    """(N, H, W, C), (N, H', W', K) -> (kh, kw, C, K)."""
    n, c, k = len(x), x.shape[3], dy.shape[3]
    plan = _plan(window, c, k)
    bands = -(-window.out[0] // plan.band)
    edges = cut(-(-n // plan.together) * bands, n * plan.operations, adds=True)
    totals = workspace("totals", (len(edges), plan.size))
    correlate = _correlate(*plan.tile)
    x, dy = x.reshape(-1), dy.reshape(-1)
    options = (plan.columns, plan.lanes, plan.crossed, plan.shape, n, c, k)
    unit = (plan.band, plan.together)

    def part(number: int) -> None:
        padded = workspace("band", (plan.room,))
        correlate(x, dy, totals[number], padded, *options, *unit, *edges[number])

    map_ordered(part, range(len(edges)))
    dw = empty((*window.kernel, c, k))
    tile, (taps, length) = (plan.tile[0], LANES * plan.tile[1]), _runs(window, c)
    flat = totals.reshape(-1)
    _collect(flat, len(edges), plan.size, tile, plan.crossed, taps, length, k, dw.reshape(-1))
    return dw
