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

from numba.core import types

from minideconv.engine.cpu.compiled.operation import (
    array,
    byte_lanes,
    index,
    operation,
    repeat,
    taps,
    vector,
)
from minideconv.engine.cpu.compiled.vectors import ZERO

__all__ = [
    "larger",
    "load_taps",
    "store_taps",
    "tap_of_larger",
    "where_positive",
    "where_tap",
]


@operation(taps(array, index))
def load_taps(builder, array, index):
    """Return ``array[index : index + 16]``."""
    return array.load(index, byte_lanes)


@operation(types.void(array, index, taps))
def store_taps(builder, array, index, value):
    """``array[index : index + 16] = value``."""
    array.store(index, value)


def _wins(builder, new, best):
    is_larger = builder.fcmp_ordered(">", new, best)
    return builder.or_(is_larger, builder.fcmp_unordered("uno", new, new))


@operation(vector(vector, vector))
def larger(builder, new, best):
    """Return ``new`` where it wins, else ``best``."""
    return builder.select(_wins(builder, new, best), new, best)


@operation(taps(vector, vector, types.uint8, taps))
def tap_of_larger(builder, new, best, tap, found):
    """Return the number ``tap`` where ``new`` wins, else ``found``."""
    return builder.select(_wins(builder, new, best), repeat(builder, tap), found)


@operation(vector(taps, types.uint8, vector, vector))
def where_tap(builder, found, tap, u, v):
    """Return ``u`` where ``found`` is the number ``tap``, else ``v``."""
    return builder.select(builder.icmp_unsigned("==", found, repeat(builder, tap)), u, v)


@operation(vector(vector, vector))
def where_positive(builder, z, v):
    """Return ``v if z > 0 else 0``, lane by lane; 0 where z is NaN."""
    return builder.select(builder.fcmp_ordered(">", z, ZERO), v, ZERO)
