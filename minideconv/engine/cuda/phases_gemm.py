"""The gradients of a convolution with a stride by its phases, as products on a GPU.

    dx[u, c]       = b[c] + sum over i, k of dy[p - i, k] W[i s + r, c, k]    u + padding = p s + r
    dW[i s + r, c] = sum over p of x[p s + r - padding, c] dy[p - i]

is one axis of two (`engine.phases`); the first is a transposed convolution. In `im2col_gemm` every
pixel of dy is multiplied by all kh kw taps, and col2im adds up what belongs to one pixel of dx.
Here the product adds:

    tiles = patches(dy) M        patches: (positions, a b K)        M: (a b K, sh sw C)

A position is a place (p, q) of every phase, and its tile the sh x sw pixels of dx that are there.
Tiles are columns, too, of a window that goes from stride to stride: col2im copies them to their
places, and im2col gathers them from x for dW. A phase with fewer taps than others reads a part of
the same patches. For both gradients at once the patches are made once.

Both ways make the same products but at the border: behind the last pixel of dy are positions that
meet some of their taps only, and are multiplied like the others. Which way is taken is up to
`traffic`.

Source: Shi et al., "Is the deconvolution layer the same as a convolutional layer?" (2016),
section 3; Shi et al., "Real-time single image and video super-resolution using an efficient
sub-pixel convolutional neural network" (CVPR 2016), section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import prod
from typing import NamedTuple

from minideconv.backend import Array, get_xp
from minideconv.engine.cpu import gemm
from minideconv.engine.cuda.columns import col2im, im2col, rooms, touched
from minideconv.engine.cuda.products import Factors, by_group, factors, multiply, rounded
from minideconv.engine.phases import inside, split
from minideconv.ops.im2col import Window

__all__ = ["Parts", "Phases", "fits", "input_and_weight_grad", "input_grad", "parts", "weight_grad"]


class Phases(NamedTuple):
    """Neighbouring phases with the same number of taps: what one product computes."""

    first: tuple[int, int]
    number: tuple[int, int]
    taps: tuple[int, int]


class Parts(NamedTuple):
    """What a window is cut into."""

    tiles: Window
    """From stride to stride over the image; its kernel is the phases that meet a tap."""
    patches: tuple[tuple[Window, tuple[Phases, ...]], ...]
    """Windows of stride 1 over dy, and the products that are made of each one's patches."""


def fits(window: Window) -> bool:
    """Return whether phases save anything: there is a stride, and a kernel larger than it.

    The columns of a smaller one do not overlap: they are tiles. Dilation is not split here.
    """
    if window.stride == (1, 1) or window.dilation != (1, 1) or gemm.fits(window, 0, 0, None):
        return False
    larger = any(k > s for k, s in zip(window.kernel, window.stride, strict=True))
    return larger and min(parts(window).tiles.out) > 0


# ---------------------------------------------------------------------------------------------
# The gradients


def input_grad(dy: Array, w: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """(N, H', W', K) * (kh, kw, C/groups, K) -> (N, H, W, C)."""
    dx: Array = get_xp(dy).empty((len(dy), *window.size, w.shape[2] * groups), dy.dtype)
    _multiply(dy, window, groups, w=w, bias=bias, dx=dx)
    return dx


def weight_grad(x: Array, dy: Array, window: Window, groups: int) -> Array:
    """(N, H, W, C), (N, H', W', K) -> (kh, kw, C/groups, K)."""
    dw: Array = get_xp(x).empty((*window.kernel, x.shape[3] // groups, dy.shape[3]), x.dtype)
    _multiply(dy, window, groups, x=x, dw=dw)
    return dw


def input_and_weight_grad(
    dy: Array, x: Array, w: Array, window: Window, groups: int
) -> tuple[Array, Array]:
    """Return `input_grad` and `weight_grad`, of the same patches of dy."""
    dx, dw = get_xp(x).empty(x.shape, x.dtype), get_xp(x).empty(w.shape, x.dtype)
    _multiply(dy, window, groups, w=w, dx=dx, x=x, dw=dw)
    return dx, dw


def _multiply(
    dy: Array,
    window: Window,
    groups: int,
    *,
    w: Array | None = None,
    bias: Array | None = None,
    dx: Array | None = None,
    x: Array | None = None,
    dw: Array | None = None,
) -> None:
    """Make the patches of `dy` and, of the two products with them, those whose arrays are given.

    The tiles of dx are ``patches(dy) w``, and ``dw = tiles(x)^T patches(dy)``.
    """
    kind, (tiles, patches) = factors(dy.dtype), parts(window)
    products = [phases for _, several in patches for phases in several]
    if w is not None:
        factor = rounded(w, kind)
        matrices = {p: _copied(_taps(factor, p, window, groups)) for p in products}
    if dw is not None:
        shapes = {p: _shape(_taps(dw, p, window, groups)) for p in products}
        sums = {p: get_xp(dw).empty(shape, dw.dtype) for p, shape in shapes.items()}
    done = 0
    for block, of_dy, of_dx, of_x in _rooms(dy, dx, x, window, kind):
        if x is not None:
            im2col(x, tiles, groups, kind, block, of_x)
        for (coarse, several), cols in zip(patches, of_dy, strict=True):
            im2col(dy, coarse, groups, kind, block, cols)
            for p in several:
                patch = by_group(cols, groups)[..., : prod(p.taps) * dy.shape[3] // groups]
                if dx is not None:
                    tile = _pixels(by_group(of_dx, groups), p, tiles)
                    multiply(patch, matrices[p].transpose(0, 2, 1), tile, kind)
                if dw is not None:
                    tile = _pixels(by_group(of_x, groups), p, tiles).transpose(0, 2, 1)
                    multiply(tile, patch, sums[p], kind, float(block.start > 0))
        if dx is not None:
            pixels = touched(tiles, block, done)
            col2im(of_dx, bias, dx, tiles, groups, block, pixels, done)
            done = pixels.stop
    if dw is not None:
        for p, total in sums.items():
            taps = _taps(dw, p, window, groups)
            taps[...] = total.reshape(taps.shape)


def _rooms(
    dy: Array, dx: Array | None, x: Array | None, window: Window, kind: Factors
) -> Iterator[tuple[range, list[Array], Array, Array]]:
    """Yield ranges of positions' rows, and room for the patches of dy, and tiles of dx and x.

    Always the same room; where an image is not given its tiles have no pixels.
    """
    tiles, patches = parts(window)
    widths = [prod(coarse.kernel) * dy.shape[3] for coarse, _ in patches]
    images = [0 if image is None else prod(tiles.kernel) * image.shape[3] for image in (dx, x)]
    room = zip((max(widths), *images), (kind.dtype, dy.dtype, kind.dtype), strict=True)
    for block, (cols, of_dx, of_x) in rooms(dy, len(dy) * tiles.out[0], tiles.out[1], *room):
        flat, rows = cols.reshape(-1), len(cols)
        narrowed = [flat[: rows * width].reshape(rows, width) for width in widths]
        yield block, narrowed, of_dx, of_x


# ---------------------------------------------------------------------------------------------
# Weights and tiles of some phases


def _taps(w: Array, phases: Phases, window: Window, groups: int) -> Array:
    """Return their weights as a view (groups, rows, columns, C/groups, a, b, K/groups).

    `w` (kh, kw, C/groups, K) is contiguous.
    """
    (r, s), (sh, sw), k = phases.first, window.stride, w.shape[3] // groups
    down, along, channel, one = w.strides
    strides = (k * one, down, along, channel, sh * down, sw * along, one)
    shape = (groups, *phases.number, w.shape[2], *phases.taps, k)
    view: Array = get_xp(w).lib.stride_tricks.as_strided(w[r:, s:], shape, strides)
    return view


def _shape(taps: Array) -> tuple[int, int, int]:
    """Return `_taps` as matrices: (groups, rows columns C/groups, a b K/groups)."""
    return len(taps), prod(taps.shape[1:4]), prod(taps.shape[4:])


def _copied(taps: Array) -> Array:
    """Return a copy of `_taps` as matrices."""
    copied: Array = get_xp(taps).ascontiguousarray(taps).reshape(_shape(taps))
    return copied


def _pixels(columns: Array, phases: Phases, tiles: Window) -> Array:
    """Return their part of tiles (groups, positions, sh sw C/groups), a view.

    That they are neighbours there `parts` sees to.
    """
    size = columns.shape[2] // prod(tiles.kernel)
    start = (phases.first[0] * tiles.kernel[1] + phases.first[1]) * size
    return columns[..., start : start + prod(phases.number) * size]


# ---------------------------------------------------------------------------------------------
# The geometry


@lru_cache(256)
def parts(window: Window) -> Parts:
    """Return what a window without dilation is cut into.

    Phases of rows with a tap less read the first rows of the others' patches. Those of columns have
    patches of their own, since what a product reads must be neighbours; so must the pixels be that
    it writes, so that several rows of a tile are one product only where they are whole.
    """
    sides = zip(window.kernel, window.stride, window.padding, window.size, window.out, strict=True)
    down, along = (_positions(*side) for side in sides)
    runs = map(split, window.kernel, window.stride)
    rows, columns = ([run for run in axis if run[2]] for axis in runs)
    out, before = (len(down), len(along)), (-down.start, -along.start)
    kernel = (rows[-1][0] + rows[-1][1], columns[-1][0] + columns[-1][1])
    padding = [p + b * s for p, b, s in zip(window.padding, before, window.stride, strict=True)]
    tiles = Window(window.size, kernel, window.stride, (padding[0], padding[1]), (1, 1), out)
    patches = []
    for s, wide, b in columns:
        # Position p looks at dy[p], dy[p - 1], ...
        coarse = Window(window.out, (rows[0][2], b), (1, 1), before, (-1, -1), out)
        products = [
            Phases((first, s), (high, wide), (a, b))
            for r, count, a in rows
            for first, high in (
                [(r, count)] if wide == kernel[1] else [(r + i, 1) for i in range(count)]
            )
        ]
        patches.append((coarse, tuple(products)))
    return Parts(tiles, tuple(patches))


def _positions(kernel: int, stride: int, padding: int, size: int, out: int) -> range:
    """Return at which positions along an axis a pixel is in the image and may meet a tap."""
    taps = split(kernel, stride)[0][2]
    pixels = inside(0, min(kernel, stride), stride, padding, size)
    return range(pixels.start, min(pixels.stop, out + taps - 1))
