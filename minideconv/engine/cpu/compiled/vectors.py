"""Sixteen float32 at once: what the compiled kernels do with vectors (`operation`).

    v = load(a, i)                 a[i : i + 16]
    store(a, i, v)                 a[i : i + 16] = v
    v = load_part(a, i, n)         a[i : i + n], n <= 16, and zeros behind
    store_part(a, i, v, n)         a[i : i + n] = v[:n]
    store_between(a, i, v, m, n)   a[i + m : i + n] = v[m:n]
    s = splat(x)                   the number x, sixteen times
    fma(u, v, w)                   u * v + w, rounded once;  also + - *
    maximum(u, v)                  v if u < v else u
    x = total(v)                   the sum of its numbers

Arrays are flat (one axis, float32) and indices count numbers. Nothing checks those.
"""

from __future__ import annotations

import operator
from typing import ClassVar

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import lower_builtin

from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.operation import (
    LANES,
    array,
    call,
    every,
    float32,
    index,
    int32,
    int64,
    lanes,
    operation,
    repeat,
    vector,
)

__all__ = [
    "LANES",
    "fma",
    "load",
    "load_part",
    "load_up_to",
    "maximum",
    "splat",
    "store",
    "store_between",
    "store_part",
    "store_up_to",
    "total",
]


ZERO = every(float32, 0.0)


@operation(vector(array, index))
def load(builder, array, index):
    """``array[index : index + 16]``."""
    return array.load(index)


@operation(types.void(array, index, vector))
def store(builder, array, index, value):
    """``array[index : index + 16] = value``."""
    array.store(index, value)


def _first(builder, count):
    """Return the mask of the first `count` lanes."""
    numbers = ir.Constant(ir.VectorType(int32, LANES), list(range(LANES)))
    return builder.icmp_signed("<", numbers, repeat(builder, builder.trunc(count, int32)))


@operation(vector(array, index, index))
def load_part(builder, array, index, count):
    """``array[index : index + count]``, count <= 16, and zeros behind; reads nothing else."""
    arguments = (array.pointer(index, lanes), int32(1), _first(builder, count), ZERO)
    return call(builder, f"llvm.masked.load.v{LANES}f32.p0", lanes, *arguments)


@operation(types.void(array, index, vector, index))
def store_part(builder, array, index, value, count):
    """``array[index : index + count] = value[:count]``, count <= 16; writes nothing else."""
    arguments = (value, array.pointer(index, lanes, writes=True), int32(1), _first(builder, count))
    call(builder, f"llvm.masked.store.v{LANES}f32.p0", ir.VoidType(), *arguments)


@operation(types.void(array, index, vector, index, index))
def store_between(builder, array, index, value, first, last):
    """``array[index + first : index + last] = value[first:last]``; writes nothing else.

    `first` may be below 0, and `last` above 16.
    """
    numbers = ir.Constant(ir.VectorType(int64, LANES), list(range(LANES)))
    inside = builder.and_(
        builder.icmp_signed(">=", numbers, repeat(builder, first)),
        builder.icmp_signed("<", numbers, repeat(builder, last)),
    )
    arguments = (value, array.pointer(index, lanes, writes=True), int32(1), inside)
    call(builder, f"llvm.masked.store.v{LANES}f32.p0", ir.VoidType(), *arguments)


@kernel
def load_up_to(array, index, count):
    """`load_part`, of 16 if `count` is more; quicker where that is usual."""
    return load(array, index) if count >= LANES else load_part(array, index, count)


@kernel(writes="array")
def store_up_to(array, index, value, count):
    """`store_part`, of 16 if `count` is more; quicker where that is usual."""
    if count >= LANES:
        store(array, index, value)
    else:
        store_part(array, index, value, count)


@operation(vector(types.float32))
def splat(builder, number):
    """Return the number (cast to float32), sixteen times."""
    return repeat(builder, number)


@operation(vector(vector, vector, vector))
def fma(builder, a, b, c):
    """Return ``a * b + c``, rounded once."""
    return call(builder, f"llvm.fma.v{LANES}f32", lanes, a, b, c)


@operation(vector(vector, vector))
def maximum(builder, a, b):
    """``b if a < b else a``, lane by lane: a NaN in `a` stays, one in `b` does not win."""
    return builder.select(builder.fcmp_ordered("<", a, b), b, a)


@operation(types.float32(vector))
def total(builder, v):
    """Return the sum of a vector's 16 numbers, added pairwise."""
    name = f"llvm.vector.reduce.fadd.v{LANES}f32"
    return call(builder, name, float32, float32(-0.0), v, fastmath=("reassoc",))


def _give_operator(symbol, instruction):
    @infer_global(symbol)
    class Operator(ConcreteTemplate):
        cases: ClassVar = [vector(vector, vector)]

    @lower_builtin(symbol, vector, vector)
    def generate(context, builder, signature, values):
        return getattr(builder, instruction)(*values)


_give_operator(operator.add, "fadd")
_give_operator(operator.sub, "fsub")
_give_operator(operator.mul, "fmul")
