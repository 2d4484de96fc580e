"""The patch matrix on a GPU: in which blocks it is made, and the two kernels, im2col and col2im.

    im2col   images (N, H, W, C) -> columns (positions, groups, kh kw C/groups)
    col2im   columns -> images, the transpose: what belongs to one pixel is added up

A patch matrix is kh kw times as large as its image: 7 GB where DeconvNet is widest, for 64 images.
It is made in blocks of output rows that fit the budget of `ops.workspace`, one after the other in
the same memory, and is never kept: making it again on the way back costs less than its memory. A
block is any range of rows; row r of image n is number n H' + r. A row is described in
`kernels/im2col.cu`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.module import launch
from minideconv.engine.cuda.products import Factors, bits, unrounded, vector
from minideconv.ops.im2col import Window
from minideconv.ops.workspace import get_workspace_limit

__all__ = ["blocks", "col2im", "im2col", "rooms", "touched"]

_FILE = "im2col.cu"
_BLOCK = 256  # threads
_WARP = 32
_MOST = 65535  # blocks along a grid's second axis


def blocks(rows: int, bytes_per_row: int) -> list[range]:
    """Cut `rows` into ranges of nearly the same length, each within the budget or one row long."""
    fit = max(1, get_workspace_limit("gpu") // bytes_per_row)
    count = -(-rows // fit)
    return [range(*edges) for edges in pairwise(rows * i // count for i in range(count + 1))]


def rooms(
    like: Array, rows: int, columns: int, *kinds: tuple[int, Any]
) -> Iterator[tuple[range, list[Array]]]:
    """Yield ranges of the output's rows and, for each (width, type), room for so wide columns.

    Room for all positions of these rows, `columns` in each, on the device of `like`; the same
    memory again and again.
    """
    sizes = [(width, np.dtype(dtype)) for width, dtype in kinds]
    ranges = blocks(rows, columns * sum(width * dtype.itemsize for width, dtype in sizes))
    most = max(map(len, ranges)) * columns
    found = [get_xp(like).empty((most, width), dtype) for width, dtype in sizes]
    for block in ranges:
        yield block, [room[: len(block) * columns] for room in found]


def im2col(x: Array, window: Window, groups: int, kind: Factors, rows: range, cols: Array) -> None:
    """Write the columns of the output's `rows` into `cols`, rounded to `kind`.

    `x` is (N, H, W, C), `cols` (positions, groups, kh kw C/groups), both contiguous.
    """
    c = x.shape[3]
    size = vector(c // groups, kind, x, cols)
    arguments = (x, bits(cols), rows.start, len(rows), *_geometry(window, c, groups))
    _launch("im2col", arguments, x, kind.defines(size), len(rows), window.out[1] * c // size)


def col2im(
    cols: Array,
    bias: Array | None,
    x: Array,
    window: Window,
    groups: int,
    rows: range,
    pixels: range,
    fresh: int,
) -> None:
    """Add the columns of the output's `rows` to the image's rows `pixels`.

    Rows from number `fresh` on are written for the first time, plus `bias` if there is one.
    """
    c = x.shape[3]
    kind = unrounded(x.dtype)
    size = vector(c // groups, kind, x, cols)
    bounds = (pixels.start, pixels.stop, fresh, rows.start, len(rows))
    sides = _geometry(window, c, groups)
    arguments = (cols, x if bias is None else bias, x, bias is not None, *bounds, *sides)
    _launch("col2im", arguments, x, kind.defines(size), len(pixels), window.size[1] * c // size)


def touched(window: Window, rows: range, done: int) -> range:
    """Return the rows of the images that `col2im` has to visit for the output's `rows`.

    The blocks come in order, and those before have finished `done` rows or touched them. Rows that
    no window meets, which a stride can leave over, belong to the block before them.
    """
    (h, ho), (sh, ph) = (window.size[0], window.out[0]), (window.stride[0], window.padding[0])
    image, row = divmod(rows.start, ho)
    start = image * h + _inside(row * sh - ph, h)
    image, row = divmod(rows.stop - 1, ho)
    last = row * sh - ph + (window.kernel[0] - 1) * window.dilation[0]
    stop = image * h + (h if row == ho - 1 else _inside(last + 1, h))
    return range(min(start, done), max(stop, done))


def _inside(row: int, h: int) -> int:
    return min(max(row, 0), h)


def _geometry(window: Window, c: int, groups: int) -> tuple[int, ...]:
    sides = (window.kernel, window.stride, window.padding, window.dilation, window.out)
    return (*window.size, c, groups, *(number for pair in sides for number in pair))


def _launch(
    kernel: str, arguments: tuple[Any, ...], x: Array, defines: Any, rows: int, items: int
) -> None:
    """Start `items` threads for each of the `rows`."""
    block = min(_BLOCK, -(-items // _WARP) * _WARP)
    grid = (-(-items // block), min(rows, _MOST))
    count = rows * items
    launch(_FILE, kernel, count, arguments, x.dtype, defines=defines, block=block, grid=grid)
