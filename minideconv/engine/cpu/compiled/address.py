"""From an array to memory: the one place where the vector operations compute an address.

Vectors are read and written at ``data + index``: strides are not looked at, and nothing is checked
while a kernel runs. What an address needs is a matter of the array's type, which numba knows when
it compiles the kernel for it. So a strided array, which would be read as other numbers, and a
read-only one, whose memory the system may protect, stop there with an error. Callers copy the
former (`engine.layout.contiguous`) and refuse the latter.
"""

from __future__ import annotations

from typing import Any

from numba.core.errors import TypingError

__all__ = ["address"]


def address(
    context: Any, builder: Any, kind: Any, array: Any, index: Any, writes: bool = False
) -> Any:
    """Return the pointer to ``array[index]`` of an array of numba's type `kind`.

    Raises
    ------
    TypingError
        If the type does not say that the numbers are neighbours, or that they may be changed if the
        kernel `writes` there. That is a bug in this library.
    """
    if kind.ndim != 1 or not kind.is_contig:
        raise TypingError(f"a kernel reads vectors from a {kind}; it must be contiguous and flat")
    if writes and not kind.mutable:
        raise TypingError(f"a kernel writes vectors to a {kind}; it must not be read-only")
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [index])
