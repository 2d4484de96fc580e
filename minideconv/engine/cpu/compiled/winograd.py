"""Winograd's F(4x4, 3x3) in compiled vectors: the equations of `engine.cpu.winograd`, fused.

    forward        y  = A.T [ sum_c (G w G.T) * (B d B.T) ] A
    input_grad     the same with the rotated kernels and C, K exchanged
    weight_grad    dw = G.T [ sum_tiles (B d B.T) * (A dy A.T) ] G

`winograd_tiles` transforms one tile of 16 channels, `winograd_blocks` works on a block of tiles in
the cache; here the work is cut into parts for the workers. A part is a range of tiles and a range
of output channels. Tiles do not depend on each other, nor do output channels, so that the parts may
depend on the number of threads and the results do not; only the gradient by the weight is a sum
over tiles, and is cut there in a way that depends on its size alone.

Nothing transformed is kept from one call to the next, but for `frozen` weights if they are few.
The weights are transformed anew for every block anyhow (see `winograd_blocks`), and to transform an
image again, in the cache, costs less than to fetch 2.25 times the image from memory.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minideconv.backend.parallel import get_num_threads, map_ordered
from minideconv.engine.cpu import winograd
from minideconv.engine.cpu.compiled.frozen import ANY, Frozen
from minideconv.engine.cpu.compiled.winograd_blocks import (
    convolve,
    convolve_plan,
    correlate,
    correlate_plan,
    transform,
)
from minideconv.engine.cpu.compiled.winograd_products import CHUNK, PANEL
from minideconv.engine.cpu.memory import empty, workspace
from minideconv.engine.cpu.parts import ranges
from minideconv.ops.geometry import Pair
from minideconv.ops.im2col import Window

__all__ = ["fits", "forward", "frozen", "input_grad", "weight_grad"]

_TILES = 112  # of a block: 8 times the 14 that fill the registers; V leaves the cache, as it must
_FEW_TILES = 56  # where there are so few channels that V can stay in it
_PARTS = 4  # of the sum over tiles, where there are enough of them
_SMALL = 2e7  # floating point operations that are not worth handing to a worker
_SMALL_SUM = 1e8  # where the parts' results have to be added up as well
_LARGE_PAGE = 2 << 20
_NONE = np.empty(0, np.float32)
_READY = 1 << 20  # numbers of transformed weights that are kept: 4 MB, some of a third-level cache

Range = tuple[int, int]


def fits(window: Window, c: int, k: int, dtype: np.dtype) -> bool:
    """Return whether these kernels can: as `engine.cpu.winograd.fits`, and float32."""
    return winograd.fits(window, c, k, dtype) and dtype == np.float32


def forward(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window) -> np.ndarray:
    """(N, H, W, C) x (3, 3, C, K) -> (N, H', W', K)."""
    return _convolve(x, w, False, bias, window.out, window.padding)


def input_grad(
    dy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window
) -> np.ndarray:
    """(N, H', W', K) x (3, 3, C, K) -> (N, H, W, C): the transposed convolution."""
    ph, pw = window.padding
    return _convolve(dy, w, True, bias, window.size, (2 - ph, 2 - pw))


def _convolve(
    x: np.ndarray,
    w: np.ndarray,
    turned: bool,
    bias: np.ndarray | None,
    out: Pair,
    padding: Pair,
) -> np.ndarray:
    (n, *size, c), k = x.shape, w.shape[2 if turned else 3]
    y = empty((n, *out, k))
    grid, tiles, step = _blocks(n, out, _FEW_TILES if c <= 64 else _TILES)
    flat_x, flat_w, flat_y = x.reshape(-1), w.reshape(-1), y.reshape(-1)
    added = _NONE if bias is None else bias
    plan, count = convolve_plan(step, c, k)
    shape = (tuple(size), c, padding, out, k, grid)

    def compute(part: tuple[Range, Range]) -> None:
        arrays = (flat_x, flat_w, turned, _NONE, added, ANY, flat_y, _work(count))
        convolve(*arrays, plan, *shape, *part)

    map_ordered(compute, _cut(tiles, step, c, k))
    return y


def _cut(tiles: int, step: int, c: int, k: int) -> list[tuple[Range, Range]]:
    """Return the parts, each of tiles and of output channels, for as many threads as there are."""
    threads = get_num_threads() if _operations(tiles, c, k) > _SMALL else 1
    blocks = -(-tiles // step)
    spans = ranges(tiles, 4 * threads if threads > 1 else 1, step)
    pieces = 1 if blocks % threads == 0 or blocks >= 4 * threads else threads
    return [(s, p) for s in spans for p in ranges(k, pieces, PANEL)]


def frozen(
    w: np.ndarray,
    bias: np.ndarray | None,
    window: Window,
    n: int,
    transposed: bool = False,
    low: float = ANY,
) -> Frozen:
    """Return `forward`, or `input_grad` if `transposed`, of `n` images with these weights.

    They are transformed now, unless that makes so many numbers that to fetch them from memory takes
    longer than to transform the weights anew.
    """
    c, k = (w.shape[3], w.shape[2]) if transposed else w.shape[2:]
    (ph, pw), size, out = window.padding, window.size, window.out
    if transposed:
        (ph, pw), size, out = (2 - ph, 2 - pw), out, size
    grid, tiles, step = _blocks(n, out, _FEW_TILES if c <= 64 else _TILES)
    plan, count = convolve_plan(step, c, k)
    panels, chunks, pitch = -(-k // PANEL), -(-c // CHUNK), plan[2]
    weights, ready = w.reshape(-1), _NONE
    if (transformed := panels * chunks * 36 * pitch * PANEL) <= _READY:
        ready = np.zeros(transformed, np.float32)
        transform(weights, c, k, transposed, pitch, ready, _work(count))
    added = _NONE if bias is None else bias
    shape = (size, c, (ph, pw), out, k, grid)
    alone = _operations(tiles, c, k) <= _SMALL

    def bind(x: np.ndarray, y: np.ndarray, scratch: np.ndarray) -> Any:
        arrays = (x, weights, transposed, ready, added, low, y)
        if alone:
            return partial(convolve, *arrays, scratch, plan, *shape, (0, tiles), (0, k))

        def compute(part: tuple[Range, Range]) -> None:
            convolve(*arrays, _work(count), plan, *shape, *part)

        return lambda: map_ordered(compute, _cut(tiles, step, c, k))

    return Frozen(count if alone else 0, bind)


def weight_grad(x: np.ndarray, dy: np.ndarray, window: Window) -> np.ndarray:
    """(N, H, W, C), (N, H', W', K) -> (3, 3, C, K)."""
    (n, *size, c), k, out = x.shape, dy.shape[3], window.out
    grid, tiles, step = _blocks(n, out, _FEW_TILES if c + k <= 256 else _TILES)
    large = _operations(tiles, c, k) > _SMALL_SUM
    spans = ranges(tiles, _PARTS if large and tiles >= 2 * _PARTS * step else 1, step)
    shares = [empty((3, 3, c, k)) for _ in spans]
    flat_x, flat_dy = x.reshape(-1), dy.reshape(-1)
    plan, count = correlate_plan(step, c, k)
    shape = (tuple(size), c, window.padding, out, k, grid)

    def compute(part: tuple[int, Range]) -> None:
        number, panels = part
        dw = shares[number].reshape(-1)
        correlate(flat_x, flat_dy, dw, _work(count), plan, *shape, spans[number], panels)

    panels = ranges(k, get_num_threads() if large and len(spans) == 1 else 1, PANEL)
    map_ordered(compute, [(i, p) for i in range(len(spans)) for p in panels])
    dw, *others = shares
    for share in others:
        dw += share
    return dw


def _operations(tiles: int, c: int, k: int) -> float:
    """Return the floating point operations of the products."""
    return 2.0 * 36 * tiles * c * k


def _blocks(n: int, out: Pair, most: int) -> tuple[Pair, int, int]:
    """Return an image's grid of tiles, the tiles of all images, and how many make a block."""
    grid = (-(-out[0] // 4), -(-out[1] // 4))
    tiles = n * grid[0] * grid[1]
    return grid, tiles, -(-tiles // -(-tiles // most))


def _work(count: int) -> np.ndarray:
    """Return this thread's scratch memory, on large pages where the system has them.

    The 36 places that a tile is written to are on 36 small pages, more than the processor keeps the
    addresses of; that doubles the time of a transform. Large pages hold many planes each.
    """
    page = _LARGE_PAGE // 4
    raw = workspace("winograd", (-(-count // page) * page + page,))
    start = -raw.ctypes.data % _LARGE_PAGE // 4
    return raw[start : start + count]
