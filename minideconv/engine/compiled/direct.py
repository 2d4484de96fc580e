"""Convolution without a patch matrix: a tile of sums stays in registers over all taps.

    y[p, q, k] = b[k] + sum_{i, j, c} x[p sh + i dh - ph, q sw + j dw - pw, c] W[i, j, c, k]

im2col writes every pixel kh kw times before a matrix product reads it back. Channels last need no
such copy. Take R neighbouring pixels (q, ..., q + R - 1) of one output row and 16 Q output
channels: R x Q vectors of sums, which fit into the processor's registers. For each (i, j, c) the
tile needs R numbers of x, one per pixel, and the Q vectors ``W[i, j, c, k : k + 16 Q]``, and does
R Q multiplications of 16 lanes with them. A processor loads two vectors and multiplies two in one
cycle, so that R x Q = 12 x 2 (14 loads, 24 products) is bound by arithmetic and runs near the
peak; a plain loop (2 loads a product) is not.

The gradient by the weight is the same tile with other meanings: R numbers are input channels of one
pixel, Q vectors are output channels of dy at that pixel, and the inner loop runs over pixels. The
gradient by the input is a convolution again, with the weight turned by 180 degrees.

Padding is copied, not tested for: the rows that a band of output rows needs, with zeros around, go
to a workspace that stays in the cache. When taps are neighbours (dilation 1), j and c run through
memory together, so that one loop over kw C numbers does for both; the first layer, with its three
channels, lives by that.

Source: Georganas et al., "Anatomy of high-performance deep learning convolutions on SIMD
architectures" (SC 2018), section II.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from minideconv.engine.compiled.copies import (
    copy_band,
    pack_weights,
    pack_weights_rotated,
    widen,
)
from minideconv.engine.compiled.kernel import kernel
from minideconv.engine.compiled.vectors import (
    LANES,
    load,
    store,
    store_part,
    tile_fma,
    tile_load,
    tile_store,
    tile_zeros,
)
from minideconv.engine.memory import empty, workspace
from minideconv.ops.im2col import Window
from minideconv.parallel import map_ordered

__all__ = ["fits", "forward", "input_grad", "weight_grad"]

_TILES = (
    (16, 1),
    (8, 2),
    (12, 2),
    (14, 2),
    (8, 3),
    (6, 4),
)  # (R, Q), each compiled when first used
_BAND = 1 << 18  # bytes of padded input that are made at a time
_PIXELS = (
    256  # of a band, in the gradient by the weight: so many of x and dy stay in the first cache
)
_PARTS = 8  # fixed, so that results do not depend on the number of threads
_SMALL = 1e8  # floating point operations that are not worth handing to a worker


def fits(window: Window, c: int, k: int, dtype: Any) -> bool:
    """Return whether these kernels can: float32; `input_grad` also needs stride 1."""
    return np.dtype(dtype) == np.float32


def _tile(rows: int, columns: int) -> tuple[int, int]:
    """Choose the tile (R, Q) that covers rows x columns sums in the fewest cycles."""

    def cycles(tile: tuple[int, int]) -> float:
        r, q = tile
        products, loads = r * q / 2, (r + q) / 2
        return -(-rows // r) * -(-columns // (LANES * q)) * (max(products, loads) + 0.5)

    return min(_TILES, key=cycles)


def _edges(units: int, operations: float) -> list[tuple[int, int]]:
    """Cut the work into parts that depend on its size alone."""
    count = 1 if operations < _SMALL else min(units, _PARTS)
    return list(pairwise([units * i // count for i in range(count + 1)]))


def _operations(n: int, window: Window, c: int, k: int) -> float:
    (kh, kw), (ho, wo) = window.kernel, window.out
    return 2.0 * n * ho * wo * kh * kw * c * k


def _shape(window: Window) -> tuple[tuple[int, int], ...]:
    """Return the window as a tuple that compiled code can take apart."""
    return (
        window.size,
        window.kernel,
        window.stride,
        window.padding,
        window.dilation,
        window.out,
    )


def _reach(count: int, kernel: int, stride: int, dilation: int) -> int:
    """Return how many input rows (columns) `count` output rows (columns) look at."""
    return (count - 1) * stride + (kernel - 1) * dilation + 1


# ---------------------------------------------------------------------------------------------
# Forward


@cache
def _convolve(R: int, Q: int) -> Callable[..., None]:  # as in the text
    width = LANES * Q

    @kernel
    def convolve(x, w, bias, y, padded, columns, window, c, k, band, first, last):  # type: ignore[no-untyped-def]
        """Compute the bands `first` to `last`; a band is `band` output rows of one image.

        `columns` is the width of the padded copy, or 0 if none is needed.
        """
        size, taps, stride, padding, dilation, out = window
        (kh, kw), (sh, sw), (dh, dw), (ho, wo) = taps, stride, dilation, out
        runs, length = (1, kw * c) if dw == 1 else (kw, c)
        bands = (ho + band - 1) // band
        tile = np.empty(R * width, np.float32)
        for unit in range(first, last):
            image, top = unit // bands, unit % bands * band
            bottom = min(top + band, ho)
            if columns:
                rows = (bottom - top - 1) * sh + (kh - 1) * dh + 1
                above, left = top * sh - padding[0], -padding[1]
                copy_band(x, image, size, c, above, left, padded, rows, columns)
                source, origin, pitch = padded, 0, columns * c
            else:
                source, origin, pitch = x, (image * size[0] + top * sh) * size[1] * c, size[1] * c
            for first_k in range(0, k, width):
                weights = first_k * kh * kw * c
                for p in range(top, bottom):
                    for start in range(0, wo, R):
                        q = max(min(start, wo - R), 0)  # the last tile overlaps the one before it
                        corner = origin + (p - top) * sh * pitch + q * sw * c
                        sums = tile_load(R, Q, bias, first_k, 0)
                        for i in range(kh):
                            for j in range(runs):
                                a = corner + i * dh * pitch + j * dw * c
                                b = weights + (i * kw + j) * c * width
                                for e in range(length):
                                    sums = tile_fma(
                                        R, Q, sums, source, a + e, sw * c, w, b + e * width
                                    )
                        place = ((image * ho + p) * wo + q) * k + first_k
                        if first_k + width <= k and wo >= R:
                            tile_store(R, Q, sums, y, place, k)
                        else:  # leave out what lies behind the last channel or pixel
                            tile_store(R, Q, sums, tile, 0, width)
                            for r in range(min(R, wo)):
                                for v in range(0, min(width, k - first_k), LANES):
                                    count = min(LANES, k - first_k - v)
                                    store_part(
                                        y, place + r * k + v, load(tile, r * width + v), count
                                    )

    return convolve


def forward(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window) -> np.ndarray:
    """(N, H, W, C) * (kh, kw, C, K) -> (N, H', W', K)."""
    (kh, kw), c, k = window.kernel, w.shape[2], w.shape[3]
    r, q = _tile(window.out[1], k)
    if k != LANES * q:
        blocks = -(-k // (LANES * q))
        packed = workspace("weights", (blocks * kh * kw * c * LANES * q,))
        pack_weights(w.reshape(-1), kh * kw * c, k, LANES * q, packed)
    else:
        packed = w.reshape(-1)
    return _forward(x, packed, bias, window, k, (r, q))


def input_grad(
    dy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window
) -> np.ndarray:
    """(N, H', W', K) * (kh, kw, C, K) -> (N, H, W, C), for stride 1.

    A pixel of x meets tap i of the window that starts i pixels before it, so dx is the convolution
    of dy with the weight turned by 180 degrees and its channels exchanged; what was padding p is
    now padding (kernel extent - 1 - p).
    """
    (kh, kw), c, k = window.kernel, w.shape[2], w.shape[3]
    (ph, pw), (dh, dw) = window.padding, window.dilation
    padding = (dh * (kh - 1) - ph, dw * (kw - 1) - pw)
    turned = Window(window.out, window.kernel, (1, 1), padding, window.dilation, window.size)
    r, q = _tile(window.size[1], c)
    blocks = -(-c // (LANES * q))
    packed = workspace("weights", (blocks * kh * kw * k * LANES * q,))
    pack_weights_rotated(w.reshape(-1), kh * kw, c, k, LANES * q, packed)
    return _forward(dy, packed, bias, turned, c, (r, q))


def _forward(
    x: np.ndarray,
    packed: np.ndarray,
    bias: np.ndarray | None,
    window: Window,
    k: int,
    tile: tuple[int, int],
) -> np.ndarray:
    n, h, w, c = x.shape
    (kh, kw), (sh, sw), (dh, dw) = window.kernel, window.stride, window.dilation
    ho, wo = window.out
    r, q = tile
    lanes = -(-k // (LANES * q)) * LANES * q
    start = np.zeros(lanes, np.float32)
    if bias is not None:
        start[:k] = bias
    y = empty((n, ho, wo, k))

    columns = _reach(max(wo, r), kw, sw, dw)
    if window.padding == (0, 0) and columns <= w and _reach(ho, kh, sh, dh) <= h:
        columns, band = 0, ho  # every window lies inside the image
    else:
        band = max(1, min(ho, _BAND // (4 * columns * c * sh)))
    bands = -(-ho // band)
    rows = _reach(band, kh, sh, dh)
    convolve = _convolve(r, q)

    def part(edges: tuple[int, int]) -> None:
        padded = workspace("band", (rows * columns * c,))
        convolve(
            x.reshape(-1),
            packed,
            start,
            y.reshape(-1),
            padded,
            columns,
            _shape(window),
            c,
            k,
            band,
            *edges,
        )

    map_ordered(part, _edges(n * bands, _operations(n, window, c, k)))
    return y


# ---------------------------------------------------------------------------------------------
# Gradient by the weight


@cache
def _correlate(R: int, Q: int) -> Callable[..., None]:  # as in the text
    width = LANES * Q
    size_of_tile = R * width

    @kernel
    def correlate(x, dy, total, padded, columns, lanes, window, c, k, band, first, last):  # type: ignore[no-untyped-def]
        """Add the bands `first` to `last` to `total`, which holds one tile after the other.

        `columns` is the width of the padded copy of x, or 0 if none is needed; `lanes` that of
        dy's, behind it.
        """
        size, taps, stride, padding, dilation, out = window
        (kh, kw), (sh, sw), (dh, dw), (ho, wo) = taps, stride, dilation, out
        runs, length = (1, kw * c) if dw == 1 else (kw, c)
        bands = (ho + band - 1) // band
        behind = ((band - 1) * sh + (kh - 1) * dh + 1) * columns * c + R
        sums_of_band = np.empty(size_of_tile, np.float32)
        total[:] = 0.0
        for unit in range(first, last):
            image, top = unit // bands, unit % bands * band
            bottom = min(top + band, ho)
            if columns:
                rows = (bottom - top - 1) * sh + (kh - 1) * dh + 1
                above, left = top * sh - padding[0], -padding[1]
                copy_band(x, image, size, c, above, left, padded, rows, columns)
                source, origin, pitch = padded, 0, columns * c
            else:
                source, origin, pitch = x, (image * size[0] + top * sh) * size[1] * c, size[1] * c
            start = (image * ho + top) * wo * k
            if lanes:
                widen(dy, start, padded, behind, (bottom - top) * wo, k, lanes)
                gradient, begin, step = padded, behind, lanes
            else:
                gradient, begin, step = dy, start, k
            place = 0
            for first_k in range(0, k, width):
                for i in range(kh):
                    for j in range(runs):
                        for first_e in range(0, length, R):
                            e = max(min(first_e, length - R), 0)
                            sums = tile_zeros(R, Q)
                            for p in range(bottom - top):
                                a = origin + (p * sh + i * dh) * pitch + j * dw * c + e
                                b = begin + p * wo * step + first_k
                                for q in range(wo):
                                    sums = tile_fma(
                                        R,
                                        Q,
                                        sums,
                                        source,
                                        a + q * sw * c,
                                        1,
                                        gradient,
                                        b + q * step,
                                    )
                            tile_store(R, Q, sums, sums_of_band, 0, width)
                            for v in range(0, size_of_tile, LANES):
                                store(
                                    total, place + v, load(total, place + v) + load(sums_of_band, v)
                                )
                            place += size_of_tile

    return correlate


@cache
def _collect(R: int, Q: int) -> Callable[..., None]:  # as in the text
    width = LANES * Q

    @kernel
    def collect(totals, parts, size, taps, runs, length, k, dw):  # type: ignore[no-untyped-def]
        """Add up the `parts` totals of `size` numbers, in order, and put their tiles in place."""
        place = 0
        for first_k in range(0, k, width):
            for tap in range(taps):
                for first_e in range(0, length, R):
                    e = max(min(first_e, length - R), 0)
                    for r in range(min(R, length)):
                        for v in range(0, min(width, k - first_k), LANES):
                            at = place + r * width + v
                            sums = load(totals, at)
                            for part in range(1, parts):
                                sums = sums + load(totals, part * size + at)
                            there = (tap * length + e + r) * k + first_k + v
                            store_part(dw, there, sums, min(LANES, k - first_k - v))
                    place += R * width

    return collect


def weight_grad(x: np.ndarray, dy: np.ndarray, window: Window) -> np.ndarray:
    """(N, H, W, C), (N, H', W', K) -> (kh, kw, C, K).

    The sums of a band of output rows stay in registers; bands are added up behind them, in float32
    but few at a time, so that rounding does not grow with the number of pixels.
    """
    n, h, w, c = x.shape
    (kh, kw), (sh, sw), (dh, dw) = window.kernel, window.stride, window.dilation
    (ho, wo), k = window.out, dy.shape[3]
    runs, length = (1, kw * c) if dw == 1 else (kw, c)
    r, q = _tile(length, k)
    tiles = -(-k // (LANES * q)) * kh * runs * -(-length // r)
    size = tiles * r * LANES * q

    lanes = -(-k // (LANES * q)) * LANES * q if k % (LANES * q) else 0
    columns = _reach(wo, kw, sw, dw)
    band = max(1, min(ho, _PIXELS // wo))
    inside = window.padding == (0, 0) and columns <= w and _reach(ho, kh, sh, dh) <= h
    if inside and length >= r:
        columns = 0
    bands = -(-ho // band)
    room = _reach(band, kh, sh, dh) * columns * c + r + band * wo * lanes
    edges = _edges(n * bands, _operations(n, window, c, k))
    totals = workspace("totals", (len(edges), size))
    correlate = _correlate(r, q)

    def part(number: int) -> None:
        correlate(
            x.reshape(-1),
            dy.reshape(-1),
            totals[number],
            workspace("band", (room,)),
            columns,
            lanes,
            _shape(window),
            c,
            k,
            band,
            *edges[number],
        )

    map_ordered(part, range(len(edges)))
    dw_ = empty((kh, kw, c, k))
    _collect(r, q)(
        totals.reshape(-1), len(edges), size, kh * runs, runs, length, k, dw_.reshape(-1)
    )
    return dw_
