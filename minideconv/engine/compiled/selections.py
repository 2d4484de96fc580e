"""Choosing between numbers, sixteen at a time: what ReLU and pooling need beside `vectors`.

A processor does this without branching: a comparison gives sixteen bits, and the bits choose.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from minideconv.engine.compiled.vectors import LANES, vector

__all__ = ["where_positive"]

_lanes = ir.VectorType(ir.FloatType(), LANES)
_zeros = ir.Constant(_lanes, [0.0] * LANES)


@intrinsic
def where_positive(typing: Any, z: Any, v: Any) -> Any:
    """Return ``v if z > 0 else 0``, lane by lane; 0 where z is NaN."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        z, v = values
        return builder.select(builder.fcmp_ordered(">", z, _zeros), v, _zeros)

    return vector(vector, vector), generate
