"""How to ask memory for more: fetch early what will be read, write past the caches what is large.

**Reading.** A core asks for the lines that follow the last ones by itself, but cautiously: a walk
that only adds up gets half of what memory could deliver. `prefetch` asks for a line some kilobytes
ahead; it arrives while the core still works on those before it. A line behind the array's end is no
mistake: nothing is read, it is only asked for.

**Writing.** An ordinary store reads its cache line from memory first and writes it back when the
cache needs the room: two transfers where one would do, and something else is pushed out for it. A
*streaming* store sends the line to memory and leaves the caches alone. For arrays larger than the
second-level cache that saves a third of the traffic of a pass such as ``y = f(x)``; smaller ones
are better kept for the layer that reads them next. `streamed` draws the line.

Source: U. Drepper, "What every programmer should know about memory" (2007), sections 6.1 and 6.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minideconv.engine.cpu.compiled.address import address
from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.vectors import store, vector

__all__ = ["AHEAD", "prefetch", "put", "stream", "streamed"]

AHEAD = 1024  # numbers, 4 KiB: how early a walk asks for a line

LARGE = 2 << 20  # bytes: the second-level cache of a core
_LINE = 64
_int32 = ir.IntType(32)
_byte = ir.IntType(8).as_pointer()


def streamed(array: np.ndarray) -> bool:
    """Whether `array` is to be written past the caches, a whole line at a time."""
    return array.nbytes >= LARGE and array.ctypes.data % _LINE == 0


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of ``array[index]``, which may lie outside."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = builder.bitcast(address(context, builder, signature.args[0], *values), _byte)
        kind = ir.FunctionType(ir.VoidType(), [_byte, _int32, _int32, _int32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        reading, into_second_level, data = _int32(0), _int32(2), _int32(1)
        builder.call(function, [pointer, reading, into_second_level, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def stream(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """``array[index : index + 16] = value``, past the caches; it must be a whole cache line."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array, index, value = values
        pointer = address(context, builder, signature.args[0], array, index, True)
        pointer = builder.bitcast(pointer, value.type.as_pointer())
        past = builder.module.add_metadata([_int32(1)])
        builder.store(value, pointer, align=_LINE).set_metadata("nontemporal", past)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@kernel
def put(array, index, value, past):  # type: ignore[no-untyped-def]
    """Store 16 numbers, past the caches if `past`."""
    if past:
        stream(array, index, value)
    else:
        store(array, index, value)
