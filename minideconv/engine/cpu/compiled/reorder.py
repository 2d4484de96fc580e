"""From the order that users have to the engine's: images to channels last, weights to taps first.

    (N, C, H, W)   -> (N, H, W, C)
    (K, C, kh, kw) -> (kh, kw, C, K)

Both turn matrices round: an image's (C, H W), a weight's (K, C kh kw), whose columns (c, tap) are
then put down as (tap, c). NumPy copies number by number, a cache line for each; squares of 16 x 16
are turned in registers, whole lines in and whole lines out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.transpose import transpose
from minideconv.engine.cpu.compiled.vectors import load, store
from minideconv.engine.cpu.memory import empty
from minideconv.engine.cpu.parts import ranges

__all__ = ["fits", "to_channels_last", "to_taps_first"]

_SQUARE = 16
_SMALL = 1 << 16  # numbers that are not worth handing to a worker
_PARTS = 8


@kernel(writes="out")
def _turn(a, out, rows, columns, inner, first, last):
    """Turn blocks of 16 columns of matrices round; `rows` is a multiple of 16.

    Column j becomes the run of `rows` numbers at ((j mod inner) * (columns / inner) + j // inner)
    * rows. The blocks are those from `first` to `last` of all matrices.
    """
    square = np.empty(_SQUARE * _SQUARE, np.float32)
    blocks = (columns + _SQUARE - 1) // _SQUARE
    for block in range(first, last):
        base, begin = block // blocks * rows * columns, block % blocks * _SQUARE
        end = min(begin + _SQUARE, columns)
        for row in range(0, rows, _SQUARE):
            source = base + row * columns + begin
            if inner == 1 and end - begin == _SQUARE:
                transpose(a, source, columns, out, base + begin * rows + row, rows)
                continue
            if end - begin == _SQUARE:
                transpose(a, source, columns, square, 0, _SQUARE)
            else:
                for r in range(_SQUARE):
                    for s in range(end - begin):
                        square[s * _SQUARE + r] = a[source + r * columns + s]
            for j in range(begin, end):
                place = base + (j % inner * (columns // inner) + j // inner) * rows
                store(out, place + row, load(square, (j - begin) * _SQUARE))


def _turned(a: np.ndarray, shape: tuple[int, ...], matrices: int, rows: int, inner: int) -> Any:
    out = empty(shape)
    columns = a.size // (matrices * rows)
    source, target = a.reshape(-1), out.reshape(-1)

    def part(edges: tuple[int, int]) -> None:
        _turn(source, target, rows, columns, inner, *edges)

    units = matrices * -(-columns // _SQUARE)
    map_ordered(part, ranges(units, _PARTS if a.size > _SMALL else 1))
    return out


def fits(a: np.ndarray, rows: int) -> bool:
    """Return whether `a`, matrices of `rows` rows, is in C order, float32, and of whole squares."""
    return a.dtype == np.float32 and not rows % _SQUARE and a.flags.c_contiguous and a.size > 0


def to_channels_last(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) -> (N, H, W, C)."""
    n, c, h, w = x.shape
    y: np.ndarray = _turned(x, (n, h, w, c), n, c, 1)
    return y


def to_taps_first(weight: np.ndarray) -> np.ndarray:
    """(K, C, kh, kw) -> (kh, kw, C, K)."""
    k, c, kh, kw = weight.shape
    w: np.ndarray = _turned(weight, (kh, kw, c, k), 1, k, kh * kw)
    return w
