"""Choosing between numbers, sixteen at a time: what ReLU and pooling need beside `vectors`.

A processor does this without branching: a comparison gives sixteen bits, and the bits choose. Taps
are what switches are made of, one byte each; sixteen of them are a vector of their own kind::

    t = load_taps(a, i)             a[i : i + 16], uint8
    store_taps(a, i, t)             a[i : i + 16] = t
    larger(new, best)               the one that wins a pooling
    tap_of_larger(new, best, i, t)  i where `new` wins, else t
    where_tap(t, i, u, v)           u where t is i, else v
    where_positive(z, v)            v where z > 0, else 0: a ReLU's derivative times v

`new` wins a pooling if it is larger than `best`, or NaN.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, register_model

from minideconv.engine.cpu.compiled.address import address
from minideconv.engine.cpu.compiled.vectors import LANES, vector

__all__ = [
    "larger",
    "load_taps",
    "store_taps",
    "tap_of_larger",
    "where_positive",
    "where_tap",
]

_byte, _int32 = ir.IntType(8), ir.IntType(32)
_bytes = ir.VectorType(_byte, LANES)
_zeros = ir.Constant(ir.VectorType(ir.FloatType(), LANES), [0.0] * LANES)


class TapsType(types.Type):
    """numba's name for 16 bytes side by side."""

    def __init__(self) -> None:
        super().__init__(name=f"uint8x{LANES}")


taps = TapsType()


@register_model(TapsType)
class _TapsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _bytes)


def _pointer(
    context: Any, builder: Any, kind: Any, array: Any, index: Any, writes: bool = False
) -> Any:
    found = address(context, builder, kind, array, index, writes)
    return builder.bitcast(found, _bytes.as_pointer())


def _splat(builder: Any, number: Any) -> Any:
    first = builder.insert_element(ir.Constant(_bytes, ir.Undefined), number, _int32(0))
    zeros = ir.Constant(ir.VectorType(_int32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, first, zeros)


def _wins(builder: Any, new: Any, best: Any) -> Any:
    return builder.or_(
        builder.fcmp_ordered(">", new, best), builder.fcmp_unordered("uno", new, new)
    )


@intrinsic
def load_taps(typing: Any, array: Any, index: Any) -> Any:
    """Return ``array[index : index + 16]``."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *values), align=1)

    return taps(array, types.intp), generate


@intrinsic
def store_taps(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """``array[index : index + 16] = value``."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array, index, value = values
        pointer = _pointer(context, builder, signature.args[0], array, index, True)
        builder.store(value, pointer, align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, taps), generate


@intrinsic
def larger(typing: Any, new: Any, best: Any) -> Any:
    """Return ``new`` where it wins, else ``best``."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        new, best = values
        return builder.select(_wins(builder, new, best), new, best)

    return vector(vector, vector), generate


@intrinsic
def tap_of_larger(typing: Any, new: Any, best: Any, tap: Any, found: Any) -> Any:
    """Return the number ``tap`` where ``new`` wins, else ``found``."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        new, best, tap, found = values
        return builder.select(_wins(builder, new, best), _splat(builder, tap), found)

    return taps(vector, vector, types.uint8, taps), generate


@intrinsic
def where_tap(typing: Any, found: Any, tap: Any, u: Any, v: Any) -> Any:
    """Return ``u`` where ``found`` is the number ``tap``, else ``v``."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        found, tap, u, v = values
        return builder.select(builder.icmp_unsigned("==", found, _splat(builder, tap)), u, v)

    return vector(taps, types.uint8, vector, vector), generate


@intrinsic
def where_positive(typing: Any, z: Any, v: Any) -> Any:
    """Return ``v if z > 0 else 0``, lane by lane; 0 where z is NaN."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        z, v = values
        return builder.select(builder.fcmp_ordered(">", z, _zeros), v, _zeros)

    return vector(vector, vector), generate
