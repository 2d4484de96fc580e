"""Getting more out of memory: fetch early what will be read, write past the caches what is large.

**Reading.** A core fetches the lines that follow the last ones by itself, but cautiously: a walk
that only adds up gets half of what memory could deliver. `prefetch` requests a line some kilobytes
ahead; it arrives while the core still works on those before it. A line behind the array's end is no
mistake: nothing is read, it is only requested.

**Writing.** An ordinary store reads its cache line from memory first and writes it back when the
cache needs the room: two transfers where one would do, and something else is pushed out for it. A
*streaming* store sends the line to memory and leaves the caches alone. For arrays larger than the
second-level cache that saves a third of the traffic of a pass such as ``y = f(x)``; smaller ones
are better kept for the layer that reads them next. `streamed` draws the line.

Source: U. Drepper, "What every programmer should know about memory" (2007), sections 6.1 and 6.3.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import types

from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.operation import (
    LINE,
    array,
    call,
    index,
    int32,
    operation,
    vector,
)
from minideconv.engine.cpu.compiled.vectors import store

__all__ = ["AHEAD", "prefetch", "put", "stream", "streamed"]

AHEAD = 1024  # numbers, 4 KiB: how early a walk requests a line

LARGE = 2 << 20  # bytes: the second-level cache of a core


def streamed(array: np.ndarray) -> bool:
    """Whether `array` is to be written past the caches, a whole line at a time."""
    return array.nbytes >= LARGE and array.ctypes.data % LINE == 0


@operation(types.void(array, index))
def prefetch(builder, array, index):
    """Request the cache line of ``array[index]``, which may be outside."""
    reading, into_second_level, data = int32(0), int32(2), int32(1)
    options = (reading, into_second_level, data)
    pointer = array.pointer(index, ir.IntType(8))
    call(builder, "llvm.prefetch.p0", ir.VoidType(), pointer, *options)


@operation(types.void(array, index, vector))
def stream(builder, array, index, value):
    """``array[index : index + 16] = value``, past the caches; it must be a whole cache line."""
    array.store(index, value, past=True)


@kernel(writes="array")
def put(array, index, value, past):
    """Store 16 numbers, past the caches if `past`."""
    if past:
        stream(array, index, value)
    else:
        store(array, index, value)
