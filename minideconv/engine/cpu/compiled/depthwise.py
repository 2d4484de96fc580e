"""Depthwise convolution in registers: `depthwise` of float32, a block of channels at a time.

R neighbouring pixels of one output row times 16 Q channels are R x Q vectors of sums. Under a tap,
each is multiplied by the vector of weights of its channels, lane by lane. With a stride of 1 the
taps of a kernel's row slide (`tile_slide_lanes`): a vector of x is loaded once and takes part in T
sums. The rows that a band of output needs are copied with the padding around them, as for `direct`.

The gradient by the input is the same with the weight turned by 180 degrees; of a stride above 1,
phase by phase (`phases`): each remainder of rows and of columns is such a convolution of its own.
The gradient by the weight keeps the taps of a kernel's row in registers, over all pixels of a band.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu import depthwise as readable
from minideconv.engine.cpu.compiled.copies import copy_band
from minideconv.engine.cpu.compiled.direct import Place
from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.plan import WIDE, reach, shape
from minideconv.engine.cpu.compiled.tiles import (
    tile_load,
    tile_slide_lanes,
    tile_store,
    tile_store_between,
    tile_store_part,
)
from minideconv.engine.cpu.compiled.vectors import LANES
from minideconv.engine.cpu.im2col_blocked import turned
from minideconv.engine.cpu.memory import empty, workspace
from minideconv.engine.cpu.parts import ranges
from minideconv.ops.im2col import Window

__all__ = ["forward", "input_grad", "weight_grad"]

_R, _Q = (6, 2) if WIDE else (4, 1)
_WIDTH = LANES * _Q
_BAND = 1 << 18  # bytes of padded input that are made at a time
_PARTS = 8  # fixed, so that results do not depend on the number of threads


@cache
def _convolve(R: int, Q: int, T: int) -> Callable[..., None]:
    width = LANES * Q

    @kernel(writes="y padded")
    def convolve(x, w, bias, y, padded, columns, place, window, c, band, first, last):
        """Compute the bands `first` to `last`; a band is `band` output rows of one image."""
        size, taps, stride, padding, dilation, out = window
        (kh, kw), (sh, sw), (dh, dw), (ho, wo) = taps, stride, dilation, out
        begin_y, image_step, line_step, pixel, shift, end = place
        lanes = (c + width - 1) // width * width  # in a row of w
        pitch = columns * c
        bands = (ho + band - 1) // band
        for unit in range(first, last):
            image, top = unit // bands, unit % bands * band
            bottom = min(top + band, ho)
            count = (bottom - top - 1) * sh + (kh - 1) * dh + 1
            copy_band(
                x, image, size, c, top * sh - padding[0], -padding[1], padded, 0, count, columns
            )
            for p in range(top, bottom):
                for start in range(0, wo, R):
                    q = max(min(start, wo - R), 0)  # the last tile overlaps the one before it
                    for first_c in range(0, c, width):
                        corner = (p - top) * sh * pitch + q * sw * c + first_c
                        sums = tile_load(R, Q, bias, first_c, 0)
                        for i in range(kh):
                            for j in range(0, kw, T):
                                a = corner + i * dh * pitch + j * dw * c
                                b = (i * kw + j) * lanes + first_c
                                sums = tile_slide_lanes(
                                    R, Q, T, sums, padded, a, sw * c, w, b, lanes
                                )
                        at = shift + q * pixel + first_c
                        base = begin_y + image * image_step + p * line_step + at
                        pixels, channels = min(R, wo), min(width, c - first_c)
                        if at < 0 or at + (pixels - 1) * pixel + channels > end:
                            tile_store_between(
                                R, Q, sums, y, base, pixel, pixels, channels, at, end
                            )
                        elif pixels == R and channels == width:
                            tile_store(R, Q, sums, y, base, pixel)
                        else:
                            tile_store_part(R, Q, sums, y, base, pixel, pixels, channels)

    return convolve


@cache
def _correlate(T: int, Q: int) -> Callable[..., None]:
    width = LANES * Q

    @kernel(writes="total padded")
    def correlate(x, dy, total, padded, columns, window, c, band, first, last):
        """Add the bands `first` to `last` to ``total``, (kh, kw, lanes)."""
        size, taps, stride, padding, dilation, out = window
        (kh, kw), (sh, sw), (dh, dw), (ho, wo) = taps, stride, dilation, out
        lanes = (c + width - 1) // width * width
        pitch = columns * c
        bands = (ho + band - 1) // band
        for unit in range(first, last):
            image, top = unit // bands, unit % bands * band
            bottom = min(top + band, ho)
            count = (bottom - top - 1) * sh + (kh - 1) * dh + 1
            copy_band(
                x, image, size, c, top * sh - padding[0], -padding[1], padded, 0, count, columns
            )
            # dy behind them, with room for a vector that begins at the last channel
            behind = count * pitch + width
            copy_band(dy, image, (ho, wo), c, top, 0, padded, behind, bottom - top, wo)
            for first_c in range(0, c, width):
                for i in range(kh):
                    for j in range(0, kw, T):
                        at = (i * kw + j) * lanes + first_c
                        sums = tile_load(T, Q, total, at, lanes)
                        for p in range(bottom - top):
                            u = (p * sh + i * dh) * pitch + j * dw * c + first_c
                            g = behind + p * wo * c + first_c
                            for _ in range(wo):
                                sums = tile_slide_lanes(
                                    T, Q, 1, sums, padded, u, dw * c, padded, g, 0
                                )
                                u += sw * c
                                g += c
                        tile_store(T, Q, sums, total, at, lanes)

    return correlate


def _lanes(w: np.ndarray) -> np.ndarray:
    """Return (kh, kw, C) with zeros behind the last channel, flat."""
    c = w.shape[2]
    padded = np.zeros((*w.shape[:2], -(-c // _WIDTH) * _WIDTH), np.float32)
    padded[..., :c] = w
    return padded.reshape(-1)


def _band(window: Window, columns: int, c: int) -> int:
    ho, sh = window.out[0], window.stride[0]
    return max(1, min(ho, _BAND // max(1, 4 * columns * c * sh)))


def _into(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window, y: np.ndarray, at: Place
) -> None:
    (kh, kw), (sh, sw), (dh, dw), c = window.kernel, window.stride, window.dilation, x.shape[3]
    slides = kw % 3 == 0 and (sw, dw) == (1, 1)
    columns = reach(max(window.out[1], _R), kw, sw, dw)
    band = _band(window, columns, c)
    room = reach(band, kh, sh, dh) * columns * c + _WIDTH
    start = np.zeros(-(-c // _WIDTH) * _WIDTH, np.float32)
    if bias is not None:
        start[:c] = bias
    convolve = _convolve(_R, _Q, 3 if slides else 1)
    arrays = (x.reshape(-1), _lanes(w), start, y.reshape(-1))
    options = (columns, tuple(at), shape(window), c, band)

    def part(edges: tuple[int, int]) -> None:
        convolve(*arrays, workspace("band", (room,)), *options, *edges)

    map_ordered(part, ranges(len(x) * -(-window.out[0] // band), _PARTS))


def forward(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window) -> np.ndarray:
    """(N, H, W, C) * (kh, kw, C) -> (N, H', W', C)."""
    (ho, wo), c = window.out, x.shape[3]
    y = empty((len(x), ho, wo, c))
    _into(x, w, bias, window, y, Place(0, ho * wo * c, wo * c, c, 0, wo * c))
    return y


def input_grad(
    dy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window
) -> np.ndarray:
    """(N, H', W', C) * (kh, kw, C) -> (N, H, W, C)."""
    if window.stride == (1, 1):
        return forward(dy, w[::-1, ::-1], bias, turned(window))
    if window.dilation != (1, 1):
        return readable.input_grad(dy, w, bias, window)
    (sh, sw), (ph, pw) = window.stride, window.padding
    (h, wide), c = window.size, dy.shape[3]
    dx, line = empty((len(dy), h, wide, c)), wide * c
    for r in range(sh):
        for s in range(sw):
            taps = w[r::sh, s::sw][::-1, ::-1]
            a, b = taps.shape[:2]
            p, q = max(-(-(ph - r) // sh), 0), max(-(-(pw - s) // sw), 0)
            rows, columns = -(-(h + ph - r) // sh) - p, -(-(wide + pw - s) // sw) - q
            u, v = p * sh + r - ph, q * sw + s - pw
            if rows <= 0 or columns <= 0:
                continue
            if not a * b:  # no tap meets these pixels
                dx[:, u::sh, v::sw] = 0 if bias is None else bias
                continue
            out = (rows, columns)
            coarse = Window(window.out, (a, b), (1, 1), (a - 1 - p, b - 1 - q), (1, 1), out)
            place = Place(u * line, h * line, sh * line, sw * c, v * c, line)
            _into(dy, taps, bias, coarse, dx, place)
    return dx


def weight_grad(x: np.ndarray, dy: np.ndarray, window: Window) -> np.ndarray:
    """(N, H, W, C), (N, H', W', C) -> (kh, kw, C)."""
    (kh, kw), (sh, sw), (dh, dw), c = window.kernel, window.stride, window.dilation, x.shape[3]
    columns = reach(window.out[1], kw, sw, dw)
    band = _band(window, columns, c)
    lanes = -(-c // _WIDTH) * _WIDTH
    room = reach(band, kh, sh, dh) * columns * c + band * window.out[1] * c + 2 * _WIDTH
    edges = ranges(len(x) * -(-window.out[0] // band), _PARTS)
    totals = np.zeros((len(edges), kh * kw * lanes), np.float32)
    correlate = _correlate(3 if kw % 3 == 0 else 1, _Q)
    arrays, options = (x.reshape(-1), dy.reshape(-1)), (columns, shape(window), c, band)

    def part(number: int) -> Any:
        correlate(*arrays, totals[number], workspace("band", (room,)), *options, *edges[number])

    map_ordered(part, range(len(edges)))
    # Behind the last channel are sums of whatever was there.
    return totals.reshape(-1, kh, kw, lanes)[..., :c].sum(axis=0)
