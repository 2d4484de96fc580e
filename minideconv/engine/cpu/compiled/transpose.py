"""Turn a square of 16 x 16 numbers round without leaving the registers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from minideconv.engine.cpu.compiled.address import address
from minideconv.engine.cpu.compiled.vectors import LANES, _load, _store

__all__ = ["transpose"]


def _halves(distance: int) -> tuple[list[int], list[int]]:
    """Return which of the 32 numbers of two rows, `distance` apart, the two new rows consist of.

    In every square of 2 x 2 blocks, `distance` wide, the two off the diagonal change places.
    """
    upper = [lane if not lane & distance else LANES + lane - distance for lane in range(LANES)]
    lower = [lane + distance if not lane & distance else LANES + lane for lane in range(LANES)]
    return upper, lower


@intrinsic
def transpose(typing: Any, a: Any, i: Any, step: Any, b: Any, j: Any, pitch: Any) -> Any:
    """``b[j + s * pitch + r] = a[i + r * step + s]`` for r, s < 16: four rounds of exchanges."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        a, i, step, b, j, pitch = values
        rows = []
        for _ in range(LANES):
            rows.append(_load(builder, address(context, builder, signature.args[0], a, i)))
            i = builder.add(i, step)
        for distance in (8, 4, 2, 1):
            masks = [
                ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes)
                for lanes in _halves(distance)
            ]
            for r in range(LANES):
                if not r & distance:
                    pair = rows[r], rows[r + distance]
                    rows[r], rows[r + distance] = (
                        builder.shuffle_vector(*pair, mask) for mask in masks
                    )
        for row in rows:
            _store(builder, address(context, builder, signature.args[3], b, j, True), row)
            j = builder.add(j, pitch)
        return context.get_dummy_value()

    return types.void(a, types.intp, types.intp, b, types.intp, types.intp), generate
