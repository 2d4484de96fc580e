"""Three more operations on tiles of sums, beside those of `vectors`.

    tile_slide(R, Q, T, sums, a, i, step, b, j, hop)        one step of a sliding window
    tile_store_part(R, Q, sums, c, k, step, rows, count)    what lies inside the result
    tile_stream(R, Q, sums, c, k, step)                     all, but past the caches

In `tile_slide` a number x[s] takes part in the sums of T neighbouring pixels, under the T taps of a
kernel's row. `tile_fma` would load it T times; here it is loaded once and used T Q times.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minideconv.engine.cpu.compiled.address import address
from minideconv.engine.cpu.compiled.vectors import (
    LANES,
    _first,
    _fma,
    _index,
    _int32,
    _lanes,
    _llvm,
    _load,
    _splat,
)

__all__ = ["tile_slide", "tile_store_part", "tile_stream"]


@intrinsic(prefer_literal=True)
def tile_slide(
    typing: Any,
    rows: Any,
    columns: Any,
    taps: Any,
    sums: Any,
    a: Any,
    index: Any,
    step: Any,
    b: Any,
    base: Any,
    hop: Any,
) -> Any:
    """Add ``sum_t a[index + (r + t) * step] * b[base + t * hop + 16 q : ... + 16]`` to (r, q)."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, _, _, sums, a, index, step, b, base, hop = values
        R, Q, T = rows.literal_value, columns.literal_value, taps.literal_value
        found = cgutils.unpack_tuple(builder, sums, R * Q)
        vectors = []
        for _tap in range(T):
            for q in range(Q):
                there = builder.add(base, _index(LANES * q))
                pointer = address(context, builder, signature.args[7], b, there)
                vectors.append(_load(builder, pointer))
            base = builder.add(base, hop)
        for s in range(R + T - 1):
            number = builder.load(address(context, builder, signature.args[4], a, index))
            index = builder.add(index, step)
            spread = _splat(builder, number)
            for t in range(max(0, s - R + 1), min(T, s + 1)):
                for q in range(Q):
                    at = (s - t) * Q + q
                    found[at] = _fma(builder, spread, vectors[t * Q + q], found[at])
        return context.make_tuple(builder, signature.return_type, found)

    index, integer = types.intp, types.intp
    kinds = (rows, columns, taps, sums, a, index, integer, b, index, integer)
    return sums(*kinds), generate


@intrinsic(prefer_literal=True)
def tile_store_part(
    typing: Any,
    rows: Any,
    columns: Any,
    sums: Any,
    array: Any,
    index: Any,
    step: Any,
    count_rows: Any,
    count: Any,
) -> Any:
    """Store the first `count` numbers of the first `count_rows` rows; writes nothing else."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, _, sums, array, index, step, count_rows, count = values
        R, Q = rows.literal_value, columns.literal_value
        found = cgutils.unpack_tuple(builder, sums, R * Q)
        for r in range(R):
            inside = builder.icmp_signed("<", _index(r), count_rows)
            here = builder.select(inside, count, _index(0))
            for q in range(Q):
                base = builder.add(index, _index(LANES * q))
                pointer = address(context, builder, signature.args[3], array, base, True)
                pointer = builder.bitcast(pointer, _lanes.as_pointer())
                mask = _first(builder, builder.sub(here, _index(LANES * q)))
                arguments = [found[r * Q + q], pointer, _int32(4), mask]
                _llvm(builder, f"llvm.masked.store.v{LANES}f32.p0", ir.VoidType(), arguments)
            index = builder.add(index, step)
        return context.get_dummy_value()

    index, integer = types.intp, types.intp
    return types.void(rows, columns, sums, array, index, integer, integer, integer), generate


@intrinsic(prefer_literal=True)
def tile_stream(
    typing: Any, rows: Any, columns: Any, sums: Any, array: Any, index: Any, step: Any
) -> Any:
    """`tile_store` past the caches (see `streams`); every place is a multiple of 64 bytes."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, _, sums, array, index, step = values
        count = columns.literal_value
        found = cgutils.unpack_tuple(builder, sums, rows.literal_value * count)
        past = builder.module.add_metadata([_int32(1)])
        for r in range(rows.literal_value):
            for q in range(count):
                base = builder.add(index, _index(LANES * q))
                pointer = address(context, builder, signature.args[3], array, base, True)
                pointer = builder.bitcast(pointer, _lanes.as_pointer())
                stored = builder.store(found[r * count + q], pointer, align=64)
                stored.set_metadata("nontemporal", past)
            index = builder.add(index, step)
        return context.get_dummy_value()

    return types.void(rows, columns, sums, array, types.intp, types.intp), generate
