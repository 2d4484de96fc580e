"""Blocks of Winograd's F(4x4, 3x3): everything between the image and the result, in the cache.

A plane's product M[p] = V[p] U[p] alone would run at the peak, but V, U and M are large: 2.25 times
the images, and 4 times the weights. Written out whole they cost more time than the products. So
they never exist whole. A block of tiles (rows of V) is transformed once; then, for one panel of
`PANEL` output channels after another, the weights are transformed in chunks of `CHUNK` input
channels, multiplied while they are warm, and the finished panel of M is transformed to pixels::

    V                          all channels of some tiles
    for each panel of output channels:
        M = 0
        for each chunk of input channels:
            U                  this chunk, this panel
            M += V U           36 products
        y                      this panel of these tiles

Recomputing U for every block costs about as much as the products of two tiles, and it saves the
memory for four times the weights.

What lies where (numbers of float32; t is a tile, p a plane, c and k channels)::

    V   [c // 16] [p] [t] [c % 16]             `rows` tiles a plane
    U   [k // 32] [p] [c] [k % 32]             CHUNK + 1 channels a plane
    M   [k // 32] [p] [t] [k % 32]

Planes are an odd number of vectors apart: at a distance of 4096 bytes the 36 places that one tile
is written to would share one place of the first cache.
"""

from __future__ import annotations

from minideconv.engine.compiled.kernel import kernel
from minideconv.engine.compiled.vectors import (
    load,
    load_part,
    store,
    store_part,
    tile_add,
    tile_fma,
    tile_store,
    tile_zeros,
)
from minideconv.engine.compiled.winograd_tiles import (
    SCRATCH,
    data_to_planes,
    gradient_to_planes,
    kernel_to_planes,
    planes_to_kernel_grad,
    planes_to_output,
)

__all__ = ["PANEL", "convolve", "convolve_work", "correlate", "correlate_work"]

PANEL = 32
CHUNK = 128
SUM = 32  # channels added up in one go; longer sums are sums of such sums, which round less
TALL, SHORT = 14, 4  # tiles in the registers at once: 14 x 2 vectors of sums, or 4 x 2 for the rest
_U = 36 * (CHUNK + 1) * PANEL
_DU = 36 * 17 * PANEL


@kernel
def _rows(step):  # type: ignore[no-untyped-def]
    """Return a plane's rows for a block of `step` tiles: room for the last `SHORT`, and odd."""
    return (step + SHORT) | 1


@kernel
def _cut_out(x, place, size, c, top, left, side, lanes, tile):  # type: ignore[no-untyped-def]
    """Copy side x side pixels of an image, from (top, left) on, and zeros where it has none."""
    h, w = size
    for r in range(side):
        for s in range(side):
            inside = 0 <= top + r < h and 0 <= left + s < w
            i = place + ((top + r) * w + left + s) * c if inside else 0
            store(tile, (r * side + s) * 16, load_part(x, i, lanes if inside else 0))


@kernel
def _transform_tiles(  # type: ignore[no-untyped-def]
    x, size, c, origin, grid, first, last, width, gradient, v, rows, scratch, tile
):
    """Transform the tiles `first` to `last` of all images, `width` channels beside each other."""
    (h, w), (th, tw) = size, grid
    side = 4 if gradient else 6
    plane = rows * width
    for t in range(first, last):
        image, r, s = t // (th * tw), t // tw % th, t % tw
        top, left = 4 * r - origin[0], 4 * s - origin[1]
        inside = top >= 0 and left >= 0 and top + side <= h and left + side <= w
        for b in range(0, c, 16):
            place = image * h * w * c + b
            j = (b // width * 36 * rows + t - first) * width + b % width
            i, row, column, source = place + (top * w + left) * c, w * c, c, x
            if not inside or b + 16 > c:
                _cut_out(x, place, size, c, top, left, side, min(16, c - b), tile)
                i, row, column, source = 0, 16 * side, 16, tile
            if gradient:
                gradient_to_planes(source, i, row, column, scratch, v, j, plane)
            else:
                data_to_planes(source, i, row, column, scratch, v, j, plane)


@kernel
def _transform_weights(w, c, k, first_c, last_c, first_k, u, scratch, tile):  # type: ignore[no-untyped-def]
    """Transform the taps of a chunk of input and a panel of output channels."""
    plane = (CHUNK + 1) * PANEL
    for ci in range(first_c, last_c):
        for b in range(0, PANEL, 16):
            i, row, column, source = ci * k + first_k + b, 3 * c * k, c * k, w
            if first_k + b + 16 > k:
                lanes = max(0, k - first_k - b)
                for tap in range(9):
                    at = i + tap * column if lanes else 0
                    store(tile, 16 * tap, load_part(w, at, lanes))
                i, row, column, source = 0, 48, 16, tile
            j = (ci - first_c) * PANEL + b
            kernel_to_planes(source, i, row, column, scratch, u, j, plane)


@kernel
def _multiply(v, rows, tiles, first_c, last_c, u, m, fresh):  # type: ignore[no-untyped-def]
    """M[p] += V[p] U[p] (or =, if `fresh`) for one chunk and one panel and all planes."""
    for p in range(36):
        for c in range(first_c, last_c, SUM):
            j = (p * (CHUNK + 1) + c - first_c) * PANEL
            t, end, new = 0, min(c + SUM, last_c), fresh and c == first_c
            while t + TALL <= tiles:
                place = (p * rows + t) * PANEL
                sums = tile_zeros(TALL, 2)
                for b in range(c, end, 16):
                    i = ((b // 16 * 36 + p) * rows + t) * 16
                    for lane in range(min(16, end - b)):
                        k = j + (b - c + lane) * PANEL
                        sums = tile_fma(TALL, 2, sums, v, i + lane, 16, u, k)
                if not new:
                    sums = tile_add(TALL, 2, sums, m, place, PANEL)
                tile_store(TALL, 2, sums, m, place, PANEL)
                t += TALL
            while t < tiles:
                place = (p * rows + t) * PANEL
                sums = tile_zeros(SHORT, 2)
                for b in range(c, end, 16):
                    i = ((b // 16 * 36 + p) * rows + t) * 16
                    for lane in range(min(16, end - b)):
                        k = j + (b - c + lane) * PANEL
                        sums = tile_fma(SHORT, 2, sums, v, i + lane, 16, u, k)
                if not new:
                    sums = tile_add(SHORT, 2, sums, m, place, PANEL)
                tile_store(SHORT, 2, sums, m, place, PANEL)
                t += SHORT


@kernel
def _place_output(m, rows, first_k, bias, y, size, k, grid, first, last, scratch, tile):  # type: ignore[no-untyped-def]
    """Transform a panel of M to pixels, add the bias, leave out what sticks out of the image."""
    (h, w), (th, tw) = size, grid
    plane = rows * PANEL
    for t in range(first, last):
        image, r, s = t // (th * tw), t // tw % th, t % tw
        high, wide = min(4, h - 4 * r), min(4, w - 4 * s)
        for b in range(0, min(PANEL, k - first_k), 16):
            place = ((image * h + 4 * r) * w + 4 * s) * k + first_k + b
            i, lanes = (t - first) * PANEL + b, min(16, k - first_k - b)
            if bias.size == 0 and high == 4 and wide == 4 and lanes == 16:
                planes_to_output(m, i, plane, scratch, y, place, w * k, k)
                continue
            planes_to_output(m, i, plane, scratch, tile, 0, 64, 16)
            added = load_part(bias, first_k + b, lanes if bias.size else 0)
            for i in range(high):
                for j in range(wide):
                    value = load(tile, (4 * i + j) * 16) + added
                    store_part(y, place + (i * w + j) * k, value, lanes)


@kernel
def convolve(x, w, bias, y, work, size, c, origin, out, k, grid, tiles, step, panels):  # type: ignore[no-untyped-def]
    """Compute output channels ``panels[0] : panels[1]`` of the tiles ``tiles[0] : tiles[1]``.

    x is (N, *size, C), w (3, 3, C, K), y (N, *out, K), all flat; `grid` counts an image's tiles, of
    which `step` make a block; the first tile begins at the pixel -origin; an empty `bias` is none.
    """
    rows = _rows(step)
    scratch, tile, rest = work[:SCRATCH], work[SCRATCH : 2 * SCRATCH], work[2 * SCRATCH :]
    u, rest = rest[:_U], rest[_U:]
    m, v = rest[: 36 * rows * PANEL], rest[36 * rows * PANEL :]
    for first in range(tiles[0], tiles[1], step):
        last = min(first + step, tiles[1])
        _transform_tiles(x, size, c, origin, grid, first, last, 16, False, v, rows, scratch, tile)
        for first_k in range(panels[0], panels[1], PANEL):
            for first_c in range(0, c, CHUNK):
                last_c = min(first_c + CHUNK, c)
                _transform_weights(w, c, k, first_c, last_c, first_k, u, scratch, tile)
                _multiply(v, rows, last - first, first_c, last_c, u, m, first_c == 0)
            _place_output(m, rows, first_k, bias, y, out, k, grid, first, last, scratch, tile)


def convolve_work(step: int, c: int) -> int:
    """Return how many numbers `convolve` needs in `work`."""
    return 2 * SCRATCH + _U + 36 * (step + SHORT | 1) * (PANEL + -(-c // 16) * 16)


# ---------------------------------------------------------------------------------------------
# The gradient by the weight


@kernel
def _accumulate(v, z, rows, tiles, b, first_k, du):  # type: ignore[no-untyped-def]
    """dU[p] = V[p].T Z[p] for 16 input channels and a panel of output channels."""
    for p in range(36):
        i = (b // 16 * 36 + p) * rows * 16
        j = (first_k // PANEL * 36 + p) * rows * PANEL
        for half in range(0, 16, 8):
            sums = tile_zeros(8, 2)
            for t in range(tiles):
                sums = tile_fma(8, 2, sums, v, i + t * 16 + half, 1, z, j + t * PANEL)
            tile_store(8, 2, sums, du, (p * 17 + half) * PANEL, PANEL)


@kernel
def _place_kernel_grad(du, b, c, first_k, k, dw, fresh, scratch, tile):  # type: ignore[no-untyped-def]
    """Add G.T dU G to these channels of dw, or begin with it, if `fresh`."""
    for ci in range(b, min(b + 16, c)):
        for kj in range(first_k, min(first_k + PANEL, k), 16):
            i, lanes = (ci - b) * PANEL + kj - first_k, min(16, k - kj)
            planes_to_kernel_grad(du, i, 17 * PANEL, scratch, tile, 0, 48, 16)
            for tap in range(9):
                place = (tap * c + ci) * k + kj
                before = load_part(dw, place, 0 if fresh else lanes)
                store_part(dw, place, before + load(tile, 16 * tap), lanes)


@kernel
def correlate(x, dy, dw, work, size, c, origin, out, k, grid, tiles, step, panels):  # type: ignore[no-untyped-def]
    """Compute what the tiles ``tiles[0] : tiles[1]`` give to output channels `panels` of dw.

    The sums over the tiles of a block, dU, are transformed to taps before the next block adds its
    own: dw is a quarter as large. The arguments are those of `convolve`.
    """
    rows = _rows(step)
    scratch, tile, rest = work[:SCRATCH], work[SCRATCH : 2 * SCRATCH], work[2 * SCRATCH :]
    du, rest = rest[:_DU], rest[_DU:]
    size_of_v = 36 * rows * ((c + 15) // 16 * 16)
    v, z = rest[:size_of_v], rest[size_of_v:]
    for first in range(tiles[0], tiles[1], step):
        last, fresh = min(first + step, tiles[1]), first == tiles[0]
        _transform_tiles(x, size, c, origin, grid, first, last, 16, False, v, rows, scratch, tile)
        _transform_tiles(dy, out, k, (0, 0), grid, first, last, PANEL, True, z, rows, scratch, tile)
        for first_k in range(panels[0], panels[1], PANEL):
            for b in range(0, c, 16):
                _accumulate(v, z, rows, last - first, b, first_k, du)
                _place_kernel_grad(du, b, c, first_k, k, dw, fresh, scratch, tile)


def correlate_work(step: int, c: int, k: int) -> int:
    """Return how many numbers `correlate` needs in `work`."""
    channels = -(-c // 16) * 16 + -(-k // PANEL) * PANEL
    return 2 * SCRATCH + _DU + 36 * (step + SHORT | 1) * channels
