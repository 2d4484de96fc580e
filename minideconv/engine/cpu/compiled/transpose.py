"""Turn a square of 16 x 16 numbers round without leaving the registers."""

from __future__ import annotations

from llvmlite import ir
from numba.core import types

from minideconv.engine.cpu.compiled.operation import LANES, array, index, int32, operation

__all__ = ["transpose"]


def _halves(distance: int) -> list[ir.Constant]:
    """Return which of the 32 numbers of two rows, `distance` apart, the two new rows consist of.

    In every square of 2 x 2 blocks, `distance` wide, the two off the diagonal change places.
    """
    upper = [lane if not lane & distance else LANES + lane - distance for lane in range(LANES)]
    lower = [lane + distance if not lane & distance else LANES + lane for lane in range(LANES)]
    return [ir.Constant(ir.VectorType(int32, LANES), half) for half in (upper, lower)]


@operation(types.void(array, index, index, array, index, index))
def transpose(builder, a, i, step, b, j, pitch):
    """``b[j + s * pitch + r] = a[i + r * step + s]`` for r, s < 16: four rounds of exchanges."""
    rows = []
    for _ in range(LANES):
        rows.append(a.load(i))
        i = builder.add(i, step)
    for distance in (8, 4, 2, 1):
        masks = _halves(distance)
        for r in range(LANES):
            if not r & distance:
                pair = rows[r], rows[r + distance]
                rows[r], rows[r + distance] = (builder.shuffle_vector(*pair, m) for m in masks)
    for row in rows:
        b.store(j, row)
        j = builder.add(j, pitch)
