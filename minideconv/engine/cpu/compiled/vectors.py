"""Sixteen float32 at once: the few machine operations that the compiled kernels are written in.

numba compiles loops well but cannot be told to keep a block of sums in registers, and a convolution
lives by that. Here a `Vector` (16 float32 side by side, one AVX-512 register or two of AVX) is a
type of its own, made of LLVM's vectors, with the operations that a kernel needs::

    v = load(a, i)             a[i : i + 16]
    store(a, i, v)             a[i : i + 16] = v
    s = splat(x)               the number x, sixteen times
    fma(u, v, w)               u * v + w, rounded once;  also + - *

and, for products of matrices, a *tile*: R x Q vectors of sums, held in R * Q registers::

    sums = tile_zeros(R, Q)
    sums = tile_fma(R, Q, sums, a, i, step, b, j)
    tile_store(R, Q, sums, c, k, step)

`tile_fma` adds the outer product of R numbers, ``a[i + r * step]``, and Q vectors, ``b[j + 16 q :
j + 16 q + 16]``. With R * Q around 16 to 28 (AVX-512 has 32 registers) each number loaded is used Q
times and each vector R times, and the processor's multipliers never wait: K. Goto and R. van de
Geijn, "Anatomy of high-performance matrix multiplication" (2008), section 4.

Arrays are flat (one axis, float32) and indices count numbers. Nothing checks those; of the arrays
`address` checks the type. R and Q must be
constants: global names, or literals.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

from minideconv.engine.cpu.compiled.address import address

__all__ = [
    "LANES",
    "fma",
    "load",
    "load_part",
    "maximum",
    "splat",
    "store",
    "store_part",
    "tile_add",
    "tile_fma",
    "tile_load",
    "tile_store",
    "tile_zeros",
]

LANES = 16

_float, _int32, _index = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_lanes = ir.VectorType(_float, LANES)
_undefined = ir.Constant(_lanes, ir.Undefined)


class VectorType(types.Type):
    """numba's name for 16 float32 side by side."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _lanes)


def _load(builder: Any, pointer: Any) -> Any:
    return builder.load(builder.bitcast(pointer, _lanes.as_pointer()), align=4)


def _store(builder: Any, pointer: Any, value: Any) -> None:
    builder.store(value, builder.bitcast(pointer, _lanes.as_pointer()), align=4)


def _splat(builder: Any, number: Any) -> Any:
    first = builder.insert_element(_undefined, number, _int32(0))
    zeros = ir.Constant(ir.VectorType(_int32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, _undefined, zeros)


def _llvm(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """Call one of LLVM's own functions."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return _llvm(builder, f"llvm.fma.v{LANES}f32", _lanes, [a, b, c])


# ---------------------------------------------------------------------------------------------
# One vector


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """``array[index : index + 16]``."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _load(builder, address(context, builder, signature.args[0], *values))

    return vector(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """``array[index : index + 16] = value``."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array, index, value = values
        _store(builder, address(context, builder, signature.args[0], array, index, True), value)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


def _first(builder: Any, count: Any) -> Any:
    """Return the mask of the first `count` lanes."""
    lanes = ir.VectorType(_int32, LANES)
    number = builder.insert_element(
        ir.Constant(lanes, ir.Undefined), builder.trunc(count, _int32), _int32(0)
    )
    counts = builder.shuffle_vector(
        number, ir.Constant(lanes, ir.Undefined), ir.Constant(lanes, [0] * LANES)
    )
    return builder.icmp_signed("<", ir.Constant(lanes, list(range(LANES))), counts)


@intrinsic
def load_part(typing: Any, array: Any, index: Any, count: Any) -> Any:
    """``array[index : index + count]``, count <= 16, and zeros behind; reads nothing else."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array, index, count = values
        pointer = address(context, builder, signature.args[0], array, index)
        pointer = builder.bitcast(pointer, _lanes.as_pointer())
        zeros = ir.Constant(_lanes, [0.0] * LANES)
        arguments = [pointer, _int32(4), _first(builder, count), zeros]
        return _llvm(builder, f"llvm.masked.load.v{LANES}f32.p0", _lanes, arguments)

    return vector(array, types.intp, types.intp), generate


@intrinsic
def store_part(typing: Any, array: Any, index: Any, value: Any, count: Any) -> Any:
    """``array[index : index + count] = value[:count]``, count <= 16; writes nothing else."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array, index, value, count = values
        pointer = address(context, builder, signature.args[0], array, index, True)
        pointer = builder.bitcast(pointer, _lanes.as_pointer())
        arguments = [value, pointer, _int32(4), _first(builder, count)]
        _llvm(builder, f"llvm.masked.store.v{LANES}f32.p0", ir.VoidType(), arguments)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector, types.intp), generate


@intrinsic
def splat(typing: Any, number: Any) -> Any:
    """Return the number (cast to float32), sixteen times."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _splat(builder, values[0])

    return vector(types.float32), generate


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c``, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _fma(builder, *values)

    return vector(vector, vector, vector), generate


@intrinsic
def maximum(typing: Any, a: Any, b: Any) -> Any:
    """``b if a < b else a``, lane by lane: a NaN in `a` stays, one in `b` does not win."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        a, b = values
        return builder.select(builder.fcmp_ordered("<", a, b), b, a)

    return vector(vector, vector), generate


def _binary(instruction: str) -> Any:
    @intrinsic
    def apply(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return getattr(builder, instruction)(*values)

        return vector(vector, vector), generate

    return apply


def _give_operator(symbol: Any, instruction: str) -> None:
    apply = _binary(instruction)

    def both(a, b):  # type: ignore[no-untyped-def]  # numba compares bare signatures
        if isinstance(a, VectorType) and isinstance(b, VectorType):
            return lambda a, b: apply(a, b)
        return None

    overload(symbol, inline="always")(both)


_give_operator(operator.add, "fadd")
_give_operator(operator.sub, "fsub")
_give_operator(operator.mul, "fmul")


# ---------------------------------------------------------------------------------------------
# A tile of R x Q vectors


def _tile(rows: Any, columns: Any) -> Any:
    return types.UniTuple(vector, rows.literal_value * columns.literal_value)


@intrinsic(prefer_literal=True)
def tile_zeros(typing: Any, rows: Any, columns: Any) -> Any:
    """Return R x Q vectors of zeros."""
    kind = _tile(rows, columns)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        zeros = ir.Constant(_lanes, [0.0] * LANES)
        return context.make_tuple(builder, kind, [zeros] * kind.count)

    return kind(rows, columns), generate


@intrinsic(prefer_literal=True)
def tile_load(typing: Any, rows: Any, columns: Any, array: Any, index: Any, step: Any) -> Any:
    """Return ``array[index + r * step + 16 q : ... + 16]`` for each row r and column q."""
    kind = _tile(rows, columns)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, _, array, index, step = values
        found = []
        for _row in range(rows.literal_value):
            for q in range(columns.literal_value):
                base = builder.add(index, _index(LANES * q))
                found.append(
                    _load(builder, address(context, builder, signature.args[2], array, base))
                )
            index = builder.add(index, step)
        return context.make_tuple(builder, kind, found)

    return kind(rows, columns, array, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def tile_add(
    typing: Any, rows: Any, columns: Any, sums: Any, array: Any, index: Any, step: Any
) -> Any:
    """Add ``array[index + r * step + 16 q : ... + 16]`` to the sums (r, q)."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, _, sums, array, index, step = values
        count = columns.literal_value
        found = cgutils.unpack_tuple(builder, sums, rows.literal_value * count)
        for r in range(rows.literal_value):
            for q in range(count):
                base = builder.add(index, _index(LANES * q))
                more = _load(builder, address(context, builder, signature.args[3], array, base))
                found[r * count + q] = builder.fadd(found[r * count + q], more)
            index = builder.add(index, step)
        return context.make_tuple(builder, signature.return_type, found)

    return sums(rows, columns, sums, array, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def tile_fma(
    typing: Any,
    rows: Any,
    columns: Any,
    sums: Any,
    a: Any,
    index: Any,
    step: Any,
    b: Any,
    base: Any,
) -> Any:
    """Add ``a[index + r * step] * b[base + 16 q : ... + 16]`` to the sums (r, q)."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, _, sums, a, index, step, b, base = values
        count = columns.literal_value
        found = cgutils.unpack_tuple(builder, sums, rows.literal_value * count)
        vectors = []
        for q in range(count):
            there = builder.add(base, _index(LANES * q))
            vectors.append(_load(builder, address(context, builder, signature.args[6], b, there)))
        for r in range(rows.literal_value):
            number = builder.load(address(context, builder, signature.args[3], a, index))
            index = builder.add(index, step)
            spread = _splat(builder, number)
            for q in range(count):
                found[r * count + q] = _fma(builder, spread, vectors[q], found[r * count + q])
        return context.make_tuple(builder, signature.return_type, found)

    kinds = (rows, columns, sums, a, types.intp, types.intp, b, types.intp)
    return sums(*kinds), generate


@intrinsic(prefer_literal=True)
def tile_store(
    typing: Any, rows: Any, columns: Any, sums: Any, array: Any, index: Any, step: Any
) -> Any:
    """``array[index + r * step + 16 q : ... + 16] = sums[r, q]``."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, _, sums, array, index, step = values
        count = columns.literal_value
        found = cgutils.unpack_tuple(builder, sums, rows.literal_value * count)
        for r in range(rows.literal_value):
            for q in range(count):
                base = builder.add(index, _index(LANES * q))
                pointer = address(context, builder, signature.args[3], array, base, True)
                _store(builder, pointer, found[r * count + q])
            index = builder.add(index, step)
        return context.get_dummy_value()

    return types.void(rows, columns, sums, array, types.intp, types.intp), generate
