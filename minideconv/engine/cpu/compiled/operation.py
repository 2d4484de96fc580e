"""`operation`: how the machine operations are defined of which the compiled kernels consist.

numba compiles loops well but cannot be made to keep a block of sums in registers, and a convolution
lives by that. So a `vector` (16 float32 side by side, one AVX-512 register or two of AVX) is a type
of its own, made of LLVM's vectors, and an *operation* is a function that numba calls while it
compiles a kernel, to put LLVM's instructions in the place of the call::

    @operation(vector(vector, vector))
    def divide(builder, u, v):
        return builder.fdiv(u, v)

The signature has numba's types, and four that depend on the call:

========  ==========================================  ============================================
in it     the kernel passes                           the function receives
========  ==========================================  ============================================
array     a flat array                                its `Memory`
constant  a literal, or a global or enclosing name    the number itself
tile      a tuple of vectors                          the list of their values
index     an integer                                  its value
========  ==========================================  ============================================

A function whose result is a tile, of R x Q vectors, has the constants R and Q as its first
arguments and returns a list.

Vectors are read and written at ``data + index``: strides are not looked at, and nothing is checked
while a kernel runs. What an address needs is a matter of the array's type, which numba has when it
compiles the kernel for it. So a strided array or one of another type, which would be read as other
numbers, and a read-only one, whose memory the system may protect, stop there with an error. The
gate in front of each kernel (`kernel.Kernel`) lets no strided array and no read-only one get so
far.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, register_model

__all__ = [
    "LANES",
    "Memory",
    "array",
    "byte_lanes",
    "call",
    "constant",
    "every",
    "float32",
    "index",
    "int32",
    "int64",
    "lanes",
    "operation",
    "repeat",
    "taps",
    "tile",
    "vector",
]

LANES = 16
LINE = 64  # bytes of a cache line

float32, int32, int64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
lanes, byte_lanes = ir.VectorType(float32, LANES), ir.VectorType(ir.IntType(8), LANES)


class Lanes(types.Type):
    """numba's type of 16 numbers side by side, "float32" or "uint8"."""

    def __init__(self, dtype: str) -> None:
        super().__init__(name=f"{dtype}x{LANES}")
        self.dtype = dtype


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, lanes if kind.dtype == "float32" else byte_lanes)


vector, taps = Lanes("float32"), Lanes("uint8")
array, constant, tile = (types.Opaque(name) for name in ("array", "constant", "tile"))
index = types.intp


# What the arrays hold in which there are such values; anything may be requested by `prefetch`.
_NUMBERS = {
    str(float32): types.float32,
    str(lanes): types.float32,
    str(byte_lanes): types.uint8,
}


class Memory:
    """A flat array, in a kernel that is being compiled; it may begin at any byte.

    Raises
    ------
    TypingError
        If the type does not say that the numbers are neighbours, of the type that is wanted, or, in
        `store`, that they may be changed. That is a bug in this library.
    """

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        if kind.ndim != 1 or not kind.is_contig:
            raise TypingError(
                f"a kernel reads vectors from a {kind}; it must be contiguous and flat"
            )
        self._builder, self._kind = builder, kind
        self._data = context.make_array(kind)(context, builder, value).data

    def pointer(self, index: Any, kind: Any, writes: bool = False) -> Any:
        """Return a pointer to the value of LLVM's type `kind` that begins at ``array[index]``."""
        if writes and not self._kind.mutable:
            raise TypingError(
                f"a kernel writes vectors to a {self._kind}; it must not be read-only"
            )
        number = _NUMBERS.get(str(kind))
        if number is not None and number != self._kind.dtype:
            raise TypingError(f"a kernel has a {self._kind}; it must be an array of {number}")
        found = self._builder.gep(self._data, [index])
        return self._builder.bitcast(found, kind.as_pointer())

    def load(self, index: Any, kind: Any = lanes) -> Any:
        """Return the value, a vector by default, that begins at ``array[index]``."""
        return self._builder.load(self.pointer(index, kind), align=1)

    def store(self, index: Any, value: Any, past: bool = False) -> None:
        """Store a value at ``array[index]``; `past` the caches it must be a whole cache line."""
        pointer = self.pointer(index, value.type, writes=True)
        stored = self._builder.store(value, pointer, align=LINE if past else 1)
        if past:
            stored.set_metadata("nontemporal", self._builder.module.add_metadata([int32(1)]))


def operation(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Let the decorated function write an operation's instructions, as described above."""

    def decorate(write: Callable[..., Any]) -> Any:
        @wraps(write)
        def define(typing: Any, *given: Any) -> Any:
            kinds = [
                found if kind in (array, constant, tile) else kind
                for kind, found in zip(signature.args, given, strict=True)
            ]
            result = signature.return_type
            if result == tile:
                result = types.UniTuple(vector, given[0].literal_value * given[1].literal_value)

            def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                pairs = zip(kinds, values, strict=True)
                found = write(builder, *(_received(context, builder, *pair) for pair in pairs))
                if result == types.void:
                    return context.get_dummy_value()
                return context.make_tuple(builder, result, found) if list is type(found) else found

            return result(*kinds), generate

        made = intrinsic(prefer_literal=constant in signature.args)(define)
        made.write = write  # for operations that consist of others
        return made

    return decorate


def _received(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.Array):
        return Memory(context, builder, kind, value)
    if isinstance(kind, types.Literal):
        return kind.literal_value
    if isinstance(kind, types.UniTuple):
        return cgutils.unpack_tuple(builder, value, kind.count)
    return value


# ---------------------------------------------------------------------------------------------
# What several operations need


def call(builder: Any, name: str, result: Any, *arguments: Any, fastmath: Any = ()) -> Any:
    """Call one of LLVM's own functions."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, arguments, fastmath=fastmath)


def every(element: Any, number: float) -> Any:
    """Return the constant vector of sixteen times `number`, of LLVM's type `element`."""
    return ir.Constant(ir.VectorType(element, LANES), [number] * LANES)


def repeat(builder: Any, number: Any) -> Any:
    """Return the value `number`, of any type, sixteen times."""
    undefined = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
    first = builder.insert_element(undefined, number, int32(0))
    return builder.shuffle_vector(first, undefined, every(int32, 0))
