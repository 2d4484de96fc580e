"""The messages between grader and student's process: a header of JSON, then the arrays' bytes.

    magic (4 bytes) | length of the header (4) | length of the bytes after it (8) | header | bytes

The student's process is not trusted: `receive` bounds both lengths before anything is read, and
`array_of` accepts numbers and booleans only, of a shape that fits its bytes. Nothing is pickled or
evaluated. The file is read by both sides, so it imports NumPy and the standard library alone.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

__all__ = ["ProtocolError", "array_of", "message", "receive", "spec_of"]

MAGIC = b"mdc1"
LENGTHS = struct.Struct(">4sIQ")
MAX_HEADER = 2**20
NUMBERS = re.compile(r"[<>|=](f(2|4|8|12|16)|[iu][1248]|b1)")

_dumps, _loads = json.dumps, json.loads


class ProtocolError(Exception):
    """What came is not a message."""


def message(header: dict[str, Any], blobs: Sequence[bytes]) -> bytes:
    """Return a message in one piece."""
    text = _dumps(header).encode()
    body = b"".join(blobs)
    return b"".join([LENGTHS.pack(MAGIC, len(text), len(body)), text, body])


def receive(read: Callable[[int], bytes], most: int) -> tuple[dict[str, Any], bytes] | None:
    """Return header and bytes of the next message; None at the end of the stream.

    Parameters
    ----------
    read : callable
        ``read(n)`` returns at least 1 and at most n bytes, none at the end of the stream.
    most : int
        Bytes that may follow the header.

    Raises
    ------
    ProtocolError
        If it is no message, or too large a one.
    """
    start = _exactly(read, LENGTHS.size)
    if len(start) < LENGTHS.size:
        return None
    magic, text_length, body_length = LENGTHS.unpack(start)
    if magic != MAGIC:
        raise ProtocolError("bytes that are no message")
    if text_length > MAX_HEADER or body_length > most:
        raise ProtocolError("a message that is too long")
    text = _exactly(read, text_length)
    body = _exactly(read, body_length)
    if len(text) != text_length or len(body) != body_length:
        return None
    try:
        header = _loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a header that is no JSON") from error
    if not isinstance(header, dict):
        raise ProtocolError("a header that is no object")
    return header, body


def _exactly(read: Callable[[int], bytes], count: int) -> bytes:
    """Return `count` bytes; fewer only if the stream ended, none if that was at once."""
    pieces: list[bytes] = []
    while count > 0:
        piece = read(min(count, 2**20))
        if not piece:
            return b"" if not pieces else b"".join(pieces)
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def spec_of(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return what `array_of` needs beside the bytes of a contiguous array."""
    return {"dtype": array.dtype.str, "shape": list(array.shape)}


def array_of(spec: object, body: bytes, start: int) -> tuple[np.ndarray[Any, Any], int]:
    """Return an array whose bytes begin at `start`, and where they end.

    Raises
    ------
    ProtocolError
        If the description is no array of numbers, or the bytes are too few.
    """
    if not isinstance(spec, dict):
        raise ProtocolError("an array without description")
    dtype, shape = spec.get("dtype"), spec.get("shape")
    if not isinstance(dtype, str) or NUMBERS.fullmatch(dtype) is None:
        raise ProtocolError("an array of no numbers")
    if (
        not isinstance(shape, list)
        or len(shape) > 32
        or not all(type(n) is int and 0 <= n < 2**40 for n in shape)
    ):
        raise ProtocolError("an array of no shape")
    try:
        kind = np.dtype(dtype)
        end = start + prod(shape) * kind.itemsize
        # A copy: aligned, writeable, and the message can go.
        return np.ndarray(shape, kind, body, start).copy(), end
    except (TypeError, ValueError) as error:  # an unknown dtype, too few bytes
        raise ProtocolError("an array that does not fit its bytes") from error
