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

Recomputing U for every block costs about as much as the products of nine tiles, and it saves the
traffic of four times the weights. Only where U is small (`_KEPT`) it stays for the next block; and
where weights stay the same from call to call, `transform` makes it once for all.

What is stored where (numbers of float32; t is a tile, p a plane, c and k channels)::

    V   [c // 16] [p] [t] [c % 16]             `rows` tiles a plane
    U   [k // 32] [p] [c] [k % 32]             `pitch` channels a plane
    M   [k // 32] [p] [t] [k % 32]

Planes are an odd number of vectors apart: at a distance of 4096 bytes the 36 places that one tile
is written to would share one place of the first cache.
"""

from __future__ import annotations

import numpy as np

from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.streams import prefetch
from minideconv.engine.cpu.compiled.transpose import transpose
from minideconv.engine.cpu.compiled.vectors import (
    load,
    load_part,
    load_up_to,
    splat,
    store,
    store_part,
    store_up_to,
)
from minideconv.engine.cpu.compiled.winograd_products import (
    CHUNK,
    PANEL,
    SHORT,
    accumulate,
    multiply,
)
from minideconv.engine.cpu.compiled.winograd_tiles import (
    SCRATCH,
    data_to_planes,
    gradient_to_planes,
    kernel_to_planes,
    planes_to_kernel_grad,
    planes_to_output,
    planes_to_shifted_output,
)

__all__ = ["convolve", "convolve_plan", "correlate", "correlate_plan", "transform"]

_BUFFERS = SCRATCH + 9 * 256  # a tile between its two steps; a tile, or 16 x 16 kernels, cut out
_KEPT = 64 * 64  # kernels: their U, 0.6 MB, stays in the second cache beside V and M
_DU = 36 * 17 * PANEL


@kernel(writes="tile")
def _cut_out(x, base, size, c, top, left, side, lanes, tile):
    """Copy side x side pixels of an image, from (top, left) on, and zeros where it has none."""
    h, w = size
    for q in range(side * side):
        store(tile, 16 * q, splat(0.0))
    for r in range(max(0, -top), min(side, h - top)):
        for s in range(max(0, -left), min(side, w - left)):
            i = base + ((top + r) * w + left + s) * c
            store(tile, (r * side + s) * 16, load_up_to(x, i, lanes))


@kernel(writes="v scratch tile")
def _transform_tiles(
    x, size, c, channels, origin, grid, first, last, width, gradient, v, rows, scratch, tile
):
    """Transform some channels of the tiles `first` to `last`, `width` channels side by side."""
    (h, w), (th, tw) = size, grid
    side = 4 if gradient else 6
    plane = rows * width
    for t in range(first, last):
        image, r, s = t // (th * tw), t // tw % th, t % tw
        top, left = 4 * r - origin[0], 4 * s - origin[1]
        inside = top >= 0 and left >= 0 and top + side <= h and left + side <= w
        for b in range(channels[0], channels[1], 16):
            base = image * h * w * c + b
            j = (b // width * 36 * rows + t - first) * width + b % width
            i, row, column, source = base + (top * w + left) * c, w * c, c, x
            if not inside or b + 16 > c:
                _cut_out(x, base, size, c, top, left, side, min(16, c - b), tile)
                i, row, column, source = 0, 16 * side, 16, tile
            if gradient:
                gradient_to_planes(source, i, row, column, scratch, v, j, plane)
            else:
                data_to_planes(source, i, row, column, scratch, v, j, plane)


@kernel(writes="square")
def _square_of_weights(w, c, k, first_c, first_k, turned, square):
    """Copy 3 x 3 kernels of up to 16 x 16 channels, zeros behind: square[tap, c, k].

    w is (3, 3, C, K) or, `turned`, (3, 3, K, C) with the taps to be reversed.
    """
    channels, lanes = min(16, c - first_c), min(16, k - first_k)
    for tap in range(9):
        if not turned:
            for ci in range(channels):
                i = (tap * c + first_c + ci) * k + first_k
                store(square, (tap * 16 + ci) * 16, load_part(w, i, lanes))
        else:
            i = ((8 - tap) * k + first_k) * c + first_c
            if channels == 16 and lanes == 16:
                transpose(w, i, c, square, tap * 256, 16)
            else:
                for ci in range(channels):
                    for ki in range(16):
                        number = w[i + ki * c + ci] if ki < lanes else np.float32(0)
                        square[(tap * 16 + ci) * 16 + ki] = number


@kernel
def _fetch_weights(w, c, k, first_c, first_k, turned):
    """Request 16 x PANEL kernels early: they are in short pieces that no processor foresees."""
    for tap in range(9):
        if turned:
            for ki in range(PANEL):
                prefetch(w, ((8 - tap) * k + first_k + ki) * c + first_c)
        else:
            for ci in range(16):
                for b in range(0, PANEL, 16):
                    prefetch(w, (tap * c + first_c + ci) * k + first_k + b)


@kernel(writes="u scratch square")
def _transform_weights(w, c, k, first_c, last_c, first_k, turned, u, pitch, scratch, square):
    """Transform the kernels of a chunk of input and a panel of output channels."""
    for b in range(first_c, last_c, 16):
        _fetch_weights(w, c, k, b + 16, first_k, turned)
        for kj in range(first_k, min(first_k + PANEL, k), 16):
            i, step, row, column, source = b * k + kj, k, 3 * c * k, c * k, w
            if turned or kj + 16 > k:
                _square_of_weights(w, c, k, b, kj, turned, square)
                i, step, row, column, source = 0, 16, 768, 256, square
            j = (b - first_c) * PANEL + kj - first_k
            for ci in range(min(16, last_c - b)):
                at, to = i + ci * step, j + ci * PANEL
                kernel_to_planes(source, at, row, column, scratch, u, to, pitch * PANEL)


@kernel(writes="y scratch tile")
def _place_output(m, rows, first_k, y, size, k, grid, first, last, scratch, tile):
    """Transform a panel of M to pixels, leave out what sticks out of the image."""
    (h, w), (th, tw) = size, grid
    plane = rows * PANEL
    for t in range(first, last):
        image, r, s = t // (th * tw), t // tw % th, t % tw
        high, wide = min(4, h - 4 * r), min(4, w - 4 * s)
        for b in range(0, min(PANEL, k - first_k), 16):
            base = ((image * h + 4 * r) * w + 4 * s) * k + first_k + b
            i, lanes = (t - first) * PANEL + b, min(16, k - first_k - b)
            if high == 4 and wide == 4 and lanes == 16:
                planes_to_output(m, i, plane, scratch, y, base, w * k, k)
                continue
            planes_to_output(m, i, plane, scratch, tile, 0, 64, 16)
            _place_edge(tile, y, base, high, wide, w * k, k, lanes)


@kernel(writes="y scratch tile")
def _place_shifted(m, rows, first_k, bias, low, y, size, k, grid, first, last, scratch, tile):
    """Do as `_place_output`, but add the bias; what is below `low`, the 0 of a ReLU, becomes that.

    A function of its own: with a branch in one, gradients, without a bias, take 4 to 8 % longer.
    """
    (h, w), (th, tw), least = size, grid, splat(low)
    plane = rows * PANEL
    for t in range(first, last):
        image, r, s = t // (th * tw), t // tw % th, t % tw
        high, wide = min(4, h - 4 * r), min(4, w - 4 * s)
        for b in range(0, min(PANEL, k - first_k), 16):
            base = ((image * h + 4 * r) * w + 4 * s) * k + first_k + b
            i, lanes = (t - first) * PANEL + b, min(16, k - first_k - b)
            added = load_part(bias, first_k + b, lanes if bias.size else 0)
            if high == 4 and wide == 4 and lanes == 16:
                planes_to_shifted_output(m, i, plane, scratch, y, base, w * k, k, added, least)
                continue
            planes_to_shifted_output(m, i, plane, scratch, tile, 0, 64, 16, added, least)
            _place_edge(tile, y, base, high, wide, w * k, k, lanes)


@kernel(writes="y")
def _place_edge(tile, y, base, high, wide, row, column, lanes):
    """Store what of a tile of 4 x 4 pixels is inside of the image."""
    for i in range(high):
        for j in range(wide):
            at = base + i * row + j * column
            store_up_to(y, at, load(tile, (4 * i + j) * 16), lanes)


@kernel(writes="y work")
def convolve(
    x, w, turned, ready, bias, low, y, work, plan, size, c, origin, out, k, grid, tiles, panels
):
    """Compute output channels ``panels[0] : panels[1]`` of the tiles ``tiles[0] : tiles[1]``.

    x is (N, *size, C), w (3, 3, C, K), y (N, *out, K), all flat; `turned`: w is (3, 3, K, C) and
    its taps are to be reversed. `grid` counts an image's tiles; the first begins at the pixel
    -origin. An empty `bias` is none; y is at least `low`. `plan` is from `convolve_plan`. `ready`
    is what `transform` has made of w, or empty.
    """
    step, rows, pitch, kept = plan
    chunks = (c + CHUNK - 1) // CHUNK
    end_of_m, end_of_v = 36 * rows * PANEL, 36 * rows * (PANEL + (c + 15) // 16 * 16)
    scratch, tile, planes = work[:SCRATCH], work[SCRATCH:_BUFFERS], work[_BUFFERS:]
    m, v, us = planes[:end_of_m], planes[end_of_m:end_of_v], planes[end_of_v:]
    for first in range(tiles[0], tiles[1], step):
        last = min(first + step, tiles[1])
        _transform_tiles(
            x, size, c, (0, c), origin, grid, first, last, 16, False, v, rows, scratch, tile
        )
        for first_k in range(panels[0], panels[1], PANEL):
            u, thin = us[first_k // PANEL * 36 * pitch * PANEL if kept else 0 :], first_k + 16 >= k
            for first_c in range(0, c, CHUNK):
                last_c = min(first_c + CHUNK, c)
                if ready.size:
                    u = ready[(first_k // PANEL * chunks + first_c // CHUNK) * 36 * pitch * PANEL :]
                elif first == tiles[0] or not kept:
                    _transform_weights(
                        w, c, k, first_c, last_c, first_k, turned, u, pitch, scratch, tile
                    )
                fresh = first_c == 0
                multiply(v, rows, last - first, first_c, last_c, u, pitch, m, fresh, thin)
            place = (out, k, grid, first, last, scratch, tile)
            if bias.size == 0 and low == -np.inf:
                _place_output(m, rows, first_k, y, *place)
            else:
                _place_shifted(m, rows, first_k, bias, low, y, *place)


def convolve_plan(step: int, c: int, k: int) -> tuple[tuple[int, int, int, bool], int]:
    """Return how `convolve` divides its memory for blocks of `step` tiles, and how much it needs.

    The rows of a plane of M and V (room for `SHORT` behind the last, and odd) and of U, and whether
    U is kept.
    """
    rows, pitch, kept = (step + SHORT) | 1, min(c, CHUNK) | 1, c <= CHUNK and c * k <= _KEPT
    panels = -(-k // PANEL) if kept else 1
    count = _BUFFERS + 36 * (rows * (PANEL + -(-c // 16) * 16) + panels * pitch * PANEL)
    return (step, rows, pitch, kept), count


@kernel(writes="ready work")
def transform(w, c, k, turned, pitch, ready, work):
    """Transform all kernels: `ready` is U, for each panel the chunks of input channels."""
    scratch, square, block = work[:SCRATCH], work[SCRATCH:_BUFFERS], 36 * pitch * PANEL
    i = 0
    for first_k in range(0, k, PANEL):
        for first_c in range(0, c, CHUNK):
            last_c, u = min(first_c + CHUNK, c), ready[i : i + block]
            _transform_weights(w, c, k, first_c, last_c, first_k, turned, u, pitch, scratch, square)
            i += block


# ---------------------------------------------------------------------------------------------
# The gradient by the weight


@kernel(writes="dw scratch tile")
def _place_kernel_grad(du, b, c, first_k, k, dw, fresh, scratch, tile):
    """Add G.T dU G to these channels of dw, or begin with it, if `fresh`."""
    for ci in range(b, min(b + 16, c)):
        for kj in range(first_k, min(first_k + PANEL, k), 16):
            i, lanes = (ci - b) * PANEL + kj - first_k, min(16, k - kj)
            planes_to_kernel_grad(du, i, 17 * PANEL, scratch, tile, 0, 48, 16)
            for tap in range(9):
                base = (tap * c + ci) * k + kj
                before = load_part(dw, base, 0 if fresh else lanes)
                store_part(dw, base, before + load(tile, 16 * tap), lanes)


@kernel(writes="dw work")
def correlate(x, dy, dw, work, plan, size, c, origin, out, k, grid, tiles, panels):
    """Compute what the tiles ``tiles[0] : tiles[1]`` give to output channels `panels` of dw.

    The sums over the tiles of a block, dU, are transformed to taps before the next block adds its
    own: dw is a quarter as large. The arguments are those of `convolve`.
    """
    step, rows = plan
    end_of_v = _DU + 36 * rows * ((c + 15) // 16 * 16)
    scratch, tile, planes = work[:SCRATCH], work[SCRATCH:_BUFFERS], work[_BUFFERS:]
    du, v, z = planes[:_DU], planes[_DU:end_of_v], planes[end_of_v:]
    for first in range(tiles[0], tiles[1], step):
        last, fresh = min(first + step, tiles[1]), first == tiles[0]
        _transform_tiles(
            x, size, c, (0, c), origin, grid, first, last, 16, False, v, rows, scratch, tile
        )
        _transform_tiles(
            dy, out, k, panels, (0, 0), grid, first, last, PANEL, True, z, rows, scratch, tile
        )
        for first_k in range(panels[0], panels[1], PANEL):
            for b in range(0, c, 16):
                accumulate(v, z, rows, last - first, b, first_k, du, first_k + 16 >= k)
                _place_kernel_grad(du, b, c, first_k, k, dw, fresh, scratch, tile)


def correlate_plan(step: int, c: int, k: int) -> tuple[tuple[int, int], int]:
    """Return the same for `correlate`: the tiles of a block and the rows of a plane."""
    rows = step | 1
    channels = -(-c // 16) * 16 + -(-k // PANEL) * PANEL
    return (step, rows), _BUFFERS + _DU + 36 * rows * channels
