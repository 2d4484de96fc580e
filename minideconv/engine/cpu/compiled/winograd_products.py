"""The products of Winograd's planes: M[p] += V[p] U[p], and dU[p] = V[p].T Z[p].

Products of small matrices that are in the cache already, in the order in which they are read (see
`winograd_blocks`): nothing is packed, and the tile of sums in the registers does the rest. Sums
over channels are made `SUM` at a time and then added up, which rounds less than one long sum. In
Winograd's convolution that counts: what is wrong in M comes out several times as large.
"""

from __future__ import annotations

from collections.abc import Callable

from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.tiles import tile_add, tile_fma, tile_store, tile_zeros

__all__ = ["CHUNK", "PANEL", "SHORT", "accumulate", "multiply"]

PANEL = 32  # output channels
CHUNK = 128  # input channels
SUM = 32  # input channels
TALL, SHORT = 14, 4  # rows of V in the registers at once; with 2 vectors each 28 or 8 sums


def _product(R: int, Q: int) -> Callable[..., None]:
    @kernel(writes="m")
    def product(v, i, step, u, j, channels, m, base, fresh):
        sums = tile_zeros(R, Q)
        for b in range(0, channels, 16):
            for lane in range(min(16, channels - b)):
                sums = tile_fma(R, Q, sums, v, i + lane, 16, u, j + (b + lane) * PANEL)
            i += step
        if not fresh:
            sums = tile_add(R, Q, sums, m, base, PANEL)
        tile_store(R, Q, sums, m, base, PANEL)

    return product


_tall, _short, _tall_thin, _short_thin = (
    _product(R, Q) for R, Q in ((TALL, 2), (SHORT, 2), (TALL, 1), (SHORT, 1))
)


@kernel(writes="m")
def multiply(v, rows, tiles, first_c, last_c, u, pitch, m, fresh, thin):
    """M[p] += V[p] U[p] (or =, if `fresh`) for a chunk of channels, a panel, and all planes.

    A `thin` panel has up to 16 channels.
    """
    step = 36 * rows * 16
    for p in range(36):
        for c in range(first_c, last_c, SUM):
            j, channels = (p * pitch + c - first_c) * PANEL, min(SUM, last_c - c)
            t, first = 0, fresh and c == first_c
            while t < tiles:
                i, base = c // 16 * step + (p * rows + t) * 16, (p * rows + t) * PANEL
                if t + TALL <= tiles:
                    if thin:
                        _tall_thin(v, i, step, u, j, channels, m, base, first)
                    else:
                        _tall(v, i, step, u, j, channels, m, base, first)
                    t += TALL
                else:
                    if thin:
                        _short_thin(v, i, step, u, j, channels, m, base, first)
                    else:
                        _short(v, i, step, u, j, channels, m, base, first)
                    t += SHORT


def _sum_over_tiles(R: int, Q: int) -> Callable[..., None]:
    @kernel(writes="du")
    def sum_over_tiles(v, i, z, j, tiles, du, base):
        sums = tile_zeros(R, Q)
        for t in range(tiles):
            sums = tile_fma(R, Q, sums, v, i + t * 16, 1, z, j + t * PANEL)
        tile_store(R, Q, sums, du, base, PANEL)

    return sum_over_tiles


_eight, _sixteen_thin = _sum_over_tiles(8, 2), _sum_over_tiles(16, 1)


@kernel(writes="du")
def accumulate(v, z, rows, tiles, b, first_k, du, thin):
    """dU[p] = V[p].T Z[p] for 16 input channels, from b on, and a panel of output channels."""
    for p in range(36):
        i = (b // 16 * 36 + p) * rows * 16
        j = (first_k // PANEL * 36 + p) * rows * PANEL
        base = p * 17 * PANEL
        if thin:
            _sixteen_thin(v, i, z, j, tiles, du, base)
        else:
            _eight(v, i, z, j, tiles, du, base)
            _eight(v, i + 8, z, j, tiles, du, base + 8 * PANEL)
