"""Hints about memory: fetch what will be needed soon, and keep out of the caches what will not.

    prefetch(a, i)                                 ask for the cache line of a[i]
    tile_stream(R, Q, sums, c, k, step)            `vectors.tile_store`, past the caches

A store that keeps to the rules first reads the line that it is about to overwrite. A result of
hundreds of megabytes is read again only when it has left the caches: to write it past them saves
that reading.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minideconv.engine.compiled.vectors import LANES, _index, _int32, _lanes, _pointer

__all__ = ["prefetch", "tile_stream"]


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Bring the cache line of ``array[index]`` into the second cache; any index is harmless."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *values)
        pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _int32, _int32, _int32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        reading, second, data = _int32(0), _int32(2), _int32(1)
        builder.call(function, [pointer, reading, second, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic(prefer_literal=True)
def tile_stream(
    typing: Any, rows: Any, columns: Any, sums: Any, array: Any, index: Any, step: Any
) -> Any:
    """`tile_store` past the caches; every place must be a multiple of 64 bytes."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, _, sums, array, index, step = values
        count = columns.literal_value
        found = cgutils.unpack_tuple(builder, sums, rows.literal_value * count)
        past = builder.module.add_metadata([_int32(1)])
        for r in range(rows.literal_value):
            for q in range(count):
                place = builder.add(index, _index(LANES * q))
                pointer = _pointer(context, builder, signature.args[3], array, place)
                pointer = builder.bitcast(pointer, _lanes.as_pointer())
                stored = builder.store(found[r * count + q], pointer, align=64)
                stored.set_metadata("nontemporal", past)
            index = builder.add(index, step)
        return context.get_dummy_value()

    return types.void(rows, columns, sums, array, types.intp, types.intp), generate
