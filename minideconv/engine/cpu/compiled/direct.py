"""Convolution without a patch matrix: a tile of sums stays in registers over all taps.

    y[p, q, k] = b[k] + sum_{i, j, c} x[p sh + i dh - ph, q sw + j dw - pw, c] W[i, j, c, k]

im2col writes every pixel kh kw times before a matrix product reads it back. Channels last need no
such copy. Take R neighbouring pixels (q, ..., q + R - 1) of one output row and 16 Q output
channels: R x Q vectors of sums, which fit into the processor's registers. For each (i, j, c) the
tile needs R numbers of x, one per pixel, and the Q vectors ``W[i, j, c, k : k + 16 Q]``, and does
R Q multiplications of 16 lanes with them. A processor loads two vectors and multiplies two in one
cycle, so that R x Q = 12 x 2 (14 loads, 24 products) is bound by arithmetic and runs near the
peak; a plain loop (2 loads a product) is not.

With 16 channels, Q = 1 and a product still costs a load. There the window's sliding helps: under
the three taps of a row, pixel q + j meets the sums q, q + 1, q + 2, so one load serves three
products (`tiles`). Other kernels (T = 1) use that their taps are neighbours in memory when the
dilation is 1: j and c then run through memory together, in one loop over kw C numbers.

The gradient by the input is a convolution again, with the weight turned by 180 degrees; the
gradient by the weight has a file of its own, `direct_weight`.

Padding is copied, not tested for: the rows that a band of output rows needs, with zeros around, go
to a workspace that stays in the cache. Weights are copied so that each block of 16 Q channels is
one run.

Source: Georganas et al., "Anatomy of high-performance deep learning convolutions on SIMD
architectures" (SC 2018), section II.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu.compiled.copies import copy_band, pack_weights, pack_weights_rotated
from minideconv.engine.cpu.compiled.direct_weight import weight_grad
from minideconv.engine.cpu.compiled.frozen import ANY, Frozen
from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.plan import WIDE, cut, operations, reach, shape
from minideconv.engine.cpu.compiled.streams import prefetch, streamed
from minideconv.engine.cpu.compiled.tiles import (
    tile_add,
    tile_at_least,
    tile_load,
    tile_slide,
    tile_store,
    tile_store_between,
    tile_store_part,
    tile_stream,
    tile_zeros,
)
from minideconv.engine.cpu.compiled.vectors import LANES
from minideconv.engine.cpu.im2col_blocked import turned
from minideconv.engine.cpu.memory import empty, workspace
from minideconv.ops.im2col import Window

__all__ = ["Place", "fits", "forward", "frozen", "input_grad", "into", "weight_grad"]

# (R, Q, T): R Q vectors of sums, Q T of weights and one number have to fit into the registers. Each
# is compiled when first used; the widths of common maps are multiples of some R.
_Tile = tuple[int, int, int]
_SLIDING: list[_Tile] = [(12, 2, 3), (8, 2, 3), (7, 2, 3), (6, 2, 3), (24, 1, 3), (16, 1, 3)]
_PLAIN: list[_Tile] = [(16, 1, 1), (8, 2, 1), (12, 2, 1), (14, 2, 1), (8, 3, 1), (6, 4, 1)]
if not WIDE:
    _SLIDING, _PLAIN = [(4, 1, 3)], [(6, 1, 1)]
_THIN = 64  # products in a sum: so few take less time than writing the sum to memory
_BAND = 1 << 18  # bytes of padded input that are made at a time
_LONG = 1024  # products in a sum: more are added up in pieces, so that they round less
_PIECE = 128  # channels in a piece


def fits(window: Window, c: int, k: int, dtype: Any) -> bool:
    """Return whether these kernels can: float32; `input_grad` also needs stride 1."""
    return np.dtype(dtype) == np.float32


# ---------------------------------------------------------------------------------------------
# The kernel


@cache
def _convolve(R: int, Q: int, T: int, long: bool) -> Callable[..., None]:
    width = LANES * Q

    @kernel(writes="y padded")
    def convolve(x, w, bias, y, padded, columns, past, low, place, window, c, k, band, first, last):
        """Compute the bands `first` to `last`; a band is `band` output rows of one image.

        `columns` is the width of the padded copy, or 0 if none is needed; `past`: y is written
        past the caches. `place` says where in y the sums are (`Place`); they are raised to `low`,
        which is -inf, or 0 for a ReLU.
        """
        begin_y, image_step, line_step, pixel, shift, end = place
        size, taps, stride, padding, dilation, out = window
        (kh, kw), (sh, sw), (dh, dw), (ho, wo) = taps, stride, dilation, out
        runs, length = (1, kw * c) if T == 1 and dw == 1 else (kw, c)
        piece = _PIECE if long else length
        kept = np.empty(R * width, np.float32)
        bands = (ho + band - 1) // band
        for unit in range(first, last):
            image, top = unit // bands, unit % bands * band
            bottom = min(top + band, ho)
            if columns:
                rows = (bottom - top - 1) * sh + (kh - 1) * dh + 1
                above, left = top * sh - padding[0], -padding[1]
                copy_band(x, image, size, c, above, left, padded, 0, rows, columns)
                source, origin, pitch = padded, 0, columns * c
            else:
                source, origin, pitch = x, (image * size[0] + top * sh) * size[1] * c, size[1] * c
            for first_k in range(0, k, width):
                weights = first_k * kh * kw * c
                for p in range(top, bottom):
                    for start in range(0, wo, R):
                        q = max(min(start, wo - R), 0)  # the last tile overlaps the one before it
                        corner = origin + (p - top) * sh * pitch + q * sw * c
                        if first_k == 0 and not columns:  # x comes from far away: request it early
                            ahead = corner + R * sw * c
                            for line in range(ahead, ahead + R * sw * c, LANES):
                                prefetch(x, line)
                        sums = tile_load(R, Q, bias, first_k, 0)
                        if long:
                            tile_store(R, Q, sums, kept, 0, width)
                            sums = tile_zeros(R, Q)
                        for i in range(kh):
                            for j in range(0, runs, T):
                                a = corner + i * dh * pitch + j * dw * c
                                b = weights + (i * kw + j) * c * width
                                for begin in range(0, length, piece):
                                    for e in range(begin, min(begin + piece, length)):
                                        sums = tile_slide(
                                            R, Q, T, sums, source, a + e, sw * c, w, b, c * width
                                        )
                                        b += width
                                    if long:  # a long sum in float32 would round too much
                                        sums = tile_add(R, Q, sums, kept, 0, width)
                                        tile_store(R, Q, sums, kept, 0, width)
                                        sums = tile_zeros(R, Q)
                        if long:
                            sums = tile_load(R, Q, kept, 0, width)
                        sums = tile_at_least(R, Q, sums, low)
                        at = shift + q * pixel + first_k  # in the line
                        base = begin_y + image * image_step + p * line_step + at
                        pixels, channels = min(R, wo), min(width, k - first_k)
                        within = at >= 0 and at + (pixels - 1) * pixel + channels <= end
                        if past:
                            tile_stream(R, Q, sums, y, base, pixel)
                        elif not within:  # of the line, as only the phases of a stride have it
                            tile_store_between(
                                R, Q, sums, y, base, pixel, pixels, channels, at, end
                            )
                        elif pixels == R and channels == width:
                            tile_store(R, Q, sums, y, base, pixel)
                        else:
                            tile_store_part(R, Q, sums, y, base, pixel, pixels, channels)

    return convolve


# ---------------------------------------------------------------------------------------------
# How it is called


class Place(NamedTuple):
    """Where in a flat y the output pixels are.

    The channels of pixel (p, q) of an image begin at

        start + image * image_step + p * line_step + shift + q * pixel

    and what is not between 0 and `end`, counted in its line, is not written.
    """

    start: int
    image_step: int
    line_step: int
    pixel: int
    shift: int
    end: int


class _Plan(NamedTuple):
    tile: _Tile
    width: int  # channels of a tile
    channels: int  # of all tiles beside each other
    columns: int  # of the padded copy, 0 if none is needed
    room: int  # numbers in it
    band: int  # output rows that are made from it
    long: bool  # sums of so many products that they are made in pieces
    thin: bool  # whole tiles of so few products that writing y takes longer
    # What small images are called with is made once, not at each call:
    shape: tuple[tuple[int, int], ...]
    place: tuple[int, ...]  # of all pixels of a y of their own (`Place`)
    operations: float  # for an image


def _cycles(tile: _Tile, wo: int, k: int) -> float:
    """Return what a row of output costs with this tile, from its products and loads."""
    r, q, t = tile
    step = max(r * q * t, r + t - 1 + q * t) / 2 + 1
    return -(-wo // r) * -(-k // (LANES * q)) * step / t


@lru_cache(1024)
def _plan(window: Window, c: int, k: int) -> _Plan:
    (kh, kw), (sh, sw), (dh, dw) = window.kernel, window.stride, window.dilation
    (h, w), (ho, wo) = window.size, window.out
    tiles = _SLIDING if (kw, sw, dw) == (3, 1, 1) else _PLAIN
    tile = min(tiles, key=lambda tile: _cycles(tile, wo, k))
    width = LANES * tile[1]
    columns = reach(max(wo, tile[0]), kw, sw, dw)
    if window.padding == (0, 0) and columns <= w and reach(ho, kh, sh, dh) <= h:
        columns = 0  # every window is inside the image
    band = max(1, min(ho, _BAND // (4 * (columns or w) * c * sh)))
    room = reach(band, kh, sh, dh) * columns * c
    thin = kh * kw * c <= _THIN and k % width == 0 and wo >= tile[0]
    long = kh * kw * c > _LONG
    channels = -(-k // width) * width
    place = tuple(Place(0, ho * wo * k, wo * k, k, 0, wo * k))
    calls = (shape(window), place, operations(window, c, k))
    return _Plan(tile, width, channels, columns, room, band, long, thin, *calls)


def forward(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window) -> np.ndarray:
    """(N, H, W, C) * (kh, kw, C, K) -> (N, H', W', K)."""
    kh, kw, c, k = w.shape
    plan = _plan(window, c, k)
    packed = workspace("weights", (plan.channels * kh * kw * c,))
    pack_weights(w.reshape(-1), kh * kw * c, k, plan.width, packed)
    return _result(plan, x, packed, bias, window, k)


def input_grad(
    dy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window
) -> np.ndarray:
    """(N, H', W', K) * (kh, kw, C, K) -> (N, H, W, C), for stride 1."""
    kh, kw, c, k = w.shape
    window = turned(window)
    plan = _plan(window, k, c)
    packed = workspace("weights", (plan.channels * kh * kw * k,))
    pack_weights_rotated(w.reshape(-1), kh * kw, c, k, plan.width, packed)
    return _result(plan, dy, packed, bias, window, c)


def _result(
    plan: _Plan, x: np.ndarray, packed: np.ndarray, bias: Any, window: Window, k: int
) -> np.ndarray:
    ho, wo = window.out
    y = empty((len(x), ho, wo, k))
    _run(plan, x, packed, bias, window, k, y, plan.place, plan.thin and streamed(y))
    return y


def into(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window, y: np.ndarray, at: Place
) -> None:
    """`forward`, into the places of a larger y; w is (kh kw C, K)."""
    c, k = x.shape[3], w.shape[1]
    plan = _plan(window, c, k)
    packed = workspace("weights", (plan.channels * len(w),))
    pack_weights(w.reshape(-1), len(w), k, plan.width, packed)
    _run(plan, x, packed, bias, window, k, y, tuple(at), False)


def _run(
    plan: _Plan,
    x: np.ndarray,
    packed: np.ndarray,
    bias: Any,
    window: Window,
    k: int,
    y: np.ndarray,
    place: tuple[int, ...],
    past: bool,
) -> None:
    n, c = len(x), x.shape[3]
    start = _start(plan, bias, k)
    convolve = _convolve(*plan.tile, plan.long)
    arrays = (x.reshape(-1), packed, start, y.reshape(-1))
    options = (plan.columns, past, ANY, place, plan.shape, c, k, plan.band)

    def part(edges: tuple[int, int]) -> None:
        convolve(*arrays, workspace("band", (plan.room,)), *options, *edges)

    bands = -(-window.out[0] // plan.band)
    map_ordered(part, cut(n * bands, n * plan.operations))


def _start(plan: _Plan, bias: Any, k: int) -> np.ndarray:
    """Return what the sums begin with."""
    start = np.zeros(plan.channels, np.float32)
    if bias is not None:
        start[:k] = bias
    return start


def frozen(
    w: np.ndarray,
    bias: np.ndarray | None,
    window: Window,
    n: int,
    transposed: bool = False,
    low: float = ANY,
) -> Frozen:
    """Return `forward`, or `input_grad` if `transposed`, of `n` images with these weights."""
    kh, kw, c, k = w.shape
    if transposed:
        c, k, window = k, c, turned(window)
    plan = _plan(window, c, k)
    packed = empty((plan.channels * kh * kw * c,))
    if transposed:
        pack_weights_rotated(w.reshape(-1), kh * kw, k, c, plan.width, packed)
    else:
        pack_weights(w.reshape(-1), kh * kw * c, k, plan.width, packed)
    start, convolve = _start(plan, bias, k), _convolve(*plan.tile, plan.long)
    parts = cut(n * -(-window.out[0] // plan.band), n * plan.operations)

    def bind(x: np.ndarray, y: np.ndarray, scratch: np.ndarray) -> Any:
        options = (plan.columns, plan.thin and streamed(y), low, plan.place, plan.shape)
        rest = (*options, c, k, plan.band)
        if len(parts) == 1:
            return partial(convolve, x, packed, start, y, scratch, *rest, *parts[0])

        def part(edges: tuple[int, int]) -> None:
            convolve(x, packed, start, y, workspace("band", (plan.room,)), *rest, *edges)

        return partial(map_ordered, part, parts)

    return Frozen(plan.room, bind)
