"""From bytes in a file to a NumPy array: the types, and the one check of shape against length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from minideconv.interop.malformed import Malformed, shown

__all__ = ["ITEM_BYTES", "MOST_DIMENSIONS", "as_numbers", "as_stored", "check_shape", "make_array"]

ITEM_BYTES = {
    "bool": 1, "uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "float16": 2, "bfloat16": 2,
    "uint32": 4, "int32": 4, "float32": 4, "uint64": 8, "int64": 8, "float64": 8,
}  # fmt: skip
"""The types that are read, by NumPy's names; NumPy has no bfloat16, which becomes float32."""

MOST_DIMENSIONS = 32

ByteOrder = Literal["<", ">"]
"""Lowest byte first, or highest."""


def check_shape(shape: Sequence[int], what: str) -> tuple[int, ...]:
    """Return a shape that a file claims as a tuple, or say what is wrong with it."""
    if len(shape) > MOST_DIMENSIONS:
        raise Malformed(
            f"{what} has {len(shape)} dimensions; there can be at most {MOST_DIMENSIONS}"
        )
    # bool is a subclass of int, and True in a file of JSON is no length.
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in shape):
        raise Malformed(
            f"{what} has the shape {shown(list(shape))}; lengths are whole numbers >= 0"
        )
    if math.prod(n for n in shape if n) >= 1 << 60:  # with a 0 in it NumPy refuses it all the same
        raise Malformed(f"{what} has the shape {tuple(shape)}, larger than any array")
    return tuple(shape)


def as_stored(data: memoryview | bytes, dtype: str, byteorder: ByteOrder = "<") -> np.ndarray:
    """Return bytes as what is stored there, without a copy; `as_numbers` makes numbers of it."""
    code = {"bool": "u1", "bfloat16": "u2"}.get(dtype, dtype)
    return np.frombuffer(data, np.dtype(code).newbyteorder(byteorder))


def as_numbers(stored: np.ndarray, dtype: str) -> np.ndarray:
    """Return the numbers that are meant by what is stored, as an array of its own in C order."""
    if dtype == "bool":
        return np.asarray(stored != 0, order="C")
    if dtype == "bfloat16":  # the upper half of a float32
        wide = stored.astype(np.uint32, order="C")
        wide <<= np.uint32(16)
        return wide.view(np.float32)
    return stored.astype(dtype, order="C")


def make_array(
    data: memoryview | bytes,
    dtype: str,
    shape: Sequence[int],
    what: str,
    byteorder: ByteOrder = "<",
) -> np.ndarray:
    """Return an array of its own with the values in `data`.

    Parameters
    ----------
    data : bytes
        All of the array's bytes, in C order, and no others.
    dtype : str
        One of `ITEM_BYTES`; bfloat16 is widened to float32, which loses nothing.
    shape : sequence of int
        What the file says it is.
    what : str
        What is read, for an error.
    byteorder : {"<", ">"}
        Lowest byte first, or highest.

    Raises
    ------
    Malformed
        If shape and number of bytes do not belong together: nothing was allocated then.
    """
    shape = check_shape(shape, what)
    # Python's integers do not overflow, whatever lengths the file claims.
    needed = math.prod(shape) * ITEM_BYTES[dtype]
    if needed != len(data):
        raise Malformed(
            f"{what} of shape {shape} and type {dtype} takes {needed:,} bytes,"
            f" but the file has {len(data):,} for it"
        )
    return as_numbers(as_stored(data, dtype, byteorder), dtype).reshape(shape)
