"""Division and square roots of sixteen float32 at once, rounded as for single numbers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from minideconv.engine.compiled.vectors import LANES, vector

__all__ = ["divide", "square_root"]

_lanes = ir.VectorType(ir.FloatType(), LANES)


@intrinsic
def divide(typing: Any, u: Any, v: Any) -> Any:
    """Return ``u / v``, lane by lane."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.fdiv(*values)

    return vector(vector, vector), generate


@intrinsic
def square_root(typing: Any, v: Any) -> Any:
    """Return the square roots of the lanes."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(_lanes, [_lanes])
        name = f"llvm.sqrt.v{LANES}f32"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)

    return vector(vector), generate
