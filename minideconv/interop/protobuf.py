"""Protocol Buffers' wire format: `fields` reads a message, `Message` writes one.

A message is a list of fields. Each begins with a *tag*, a number that holds the field's number
(``tag >> 3``) and how its value is written (``tag & 7``):

===  =========  ==========================================================================
0    VARINT     a whole number, seven bits a byte, lowest first; the last byte is below 128
1    FIXED64    eight bytes
2    BYTES      a length (a varint) and so many bytes: a text, a message, packed numbers
5    FIXED32    four bytes
===  =========  ==========================================================================

What a field means is in the format's ``.proto`` file, of which the readers here know the few
numbers that lead to the weights. A field is never longer than what is left of its message, so a
length that lies is found before anything is done with it.

Source: protobuf.dev, "Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np

from minideconv.interop.malformed import Malformed

__all__ = ["BYTES", "FIXED32", "FIXED64", "VARINT", "Field", "Message", "Numbers", "fields"]

_MOST_FIELDS = 1_000_000  # of a message that holds no numbers, one a field; a network has thousands

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MOST_VARINT_BYTES = 10  # 64 bits, seven at a time
_BLOCK = 1 << 18  # bytes of packed varints that are decoded at a time


class Field(NamedTuple):
    """A field of a message."""

    number: int
    kind: int
    value: memoryview
    """The value's own bytes, for `BYTES` without the length."""

    def message(self) -> memoryview:
        """Return the value of a field that is text, a message or packed numbers."""
        if self.kind != BYTES:
            raise Malformed(f"field {self.number} of a message is a number where bytes belong")
        return self.value

    def text(self) -> str:
        """Return the value of a text."""
        try:
            return bytes(self.message()).decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"field {self.number} of a message is no text in UTF-8") from error

    def integer(self) -> int:
        """Return the value of a varint, as the signed number of 64 bits that it stands for."""
        if self.kind != VARINT:
            raise Malformed(f"field {self.number} of a message is no varint")
        value, _ = _varint(self.value, 0)
        return value - (1 << 64) if value >> 63 else value


def fields(message: memoryview, *, numbers: bool = False) -> Iterator[Field]:
    """Yield the fields of a message in their order in the file.

    Parameters
    ----------
    message : memoryview
        The message's bytes.
    numbers : bool
        Whether it may hold numbers that are not packed, of which there may be any number.

    Raises
    ------
    Malformed
        At the first field that is not one; those before it have been yielded by then.
    """
    position, end, left = 0, len(message), _MOST_FIELDS
    while position < end:
        left -= not numbers
        if left < 0:
            raise Malformed(f"a message has more than {_MOST_FIELDS:,} fields")
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            _, after = _varint(message, position)
        elif kind == BYTES:
            length, position = _varint(message, position)
            after = position + length
        elif kind in (FIXED32, FIXED64):
            after = position + (4 if kind == FIXED32 else 8)
        else:
            raise Malformed(f"a field of a message is of the unknown kind {kind}")
        if not 0 < number < 1 << 29:
            raise Malformed(f"a field of a message has the number {number}")
        if after > end:
            raise Malformed(
                f"field {number} of a message claims {after - position:,} bytes,"
                f" but only {end - position:,} are left"
            )
        yield Field(number, kind, message[position:after])
        position = after


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return a varint, and where it ends."""
    value = 0
    for index, octet in enumerate(data[position : position + _MOST_VARINT_BYTES]):
        value |= (octet & 0x7F) << 7 * index
        if octet < 0x80:
            return value & (1 << 64) - 1, position + index + 1
    raise Malformed("a number of a message does not end where it has to")


class Numbers:
    """The values of a repeated number: packed into one field, or each in a field of its own.

    Both may be mixed. They are kept as the file's bytes, because a Python object for each number
    would take ten times the file.
    """

    def __init__(self) -> None:
        self._only: memoryview | None = None
        self._joined = bytearray()

    def add(self, field: Field) -> None:
        """Append what one more field holds."""
        if self._only is None and not self._joined:
            self._only = field.value  # nearly always all there is: no copy
            return
        if self._only is not None:
            self._joined += self._only
            self._only = None
        self._joined += field.value

    @property
    def data(self) -> memoryview:
        """The bytes of numbers of fixed length, one behind the other."""
        return memoryview(self._joined) if self._only is None else self._only

    def __bool__(self) -> bool:
        return len(self.data) > 0

    def varints(self, at_most: int) -> np.ndarray:
        """Return the varints, as signed numbers of 64 bits.

        Parameters
        ----------
        at_most : int
            How many there may be: none is decoded if there are more.
        """
        octets = np.frombuffer(self.data, np.uint8)
        if len(octets) and octets[-1] >= 0x80:
            raise Malformed("packed numbers do not end where they have to")
        count = sum(int((octets[i : i + _BLOCK] < 0x80).sum()) for i in _starts(octets))
        if count > at_most:
            raise Malformed(f"a list holds {count:,} numbers where {at_most:,} belong")
        values, filled, rest = np.empty(count, np.int64), 0, octets[:0]
        for start in _starts(octets):
            block = np.concatenate([rest, octets[start : start + _BLOCK]])
            decoded, rest = _decode(block)
            values[filled : filled + len(decoded)] = decoded
            filled += len(decoded)
        return values


def _starts(octets: np.ndarray) -> range:
    return range(0, len(octets), _BLOCK)


def _decode(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the varints of a block, and the bytes of one that goes on behind it."""
    ends = np.flatnonzero(block < 0x80)
    starts = np.concatenate([[0], ends + 1])
    rest, starts = block[starts[-1] :], starts[:-1]
    lengths = ends - starts + 1
    longest = max(int(lengths.max(initial=0)), len(rest))
    if longest > _MOST_VARINT_BYTES:
        raise Malformed(f"a packed number takes {longest} bytes, more than {_MOST_VARINT_BYTES}")
    values = np.zeros(len(ends), np.uint64)
    for index in range(longest):
        long = lengths > index
        seven = (block[starts[long] + index] & 0x7F).astype(np.uint64)
        values[long] |= seven << np.uint64(7 * index)
    return values.view(np.int64), rest


class Message:
    """A message that is written field by field.

    What it holds is kept in parts, and large ones are not copied: a message needs to know its
    length alone before its bytes are written, and that is the sum of its parts.

    Examples
    --------
    >>> inner = Message()
    >>> inner.text(1, "w")
    >>> outer = Message()
    >>> outer.integer(2, 300)
    >>> outer.message(3, inner)
    >>> [(f.number, f.kind) for f in fields(memoryview(b"".join(outer.parts)))], outer.size
    ([(2, 0), (3, 2)], 8)
    """

    def __init__(self) -> None:
        self.parts: list[bytes | memoryview] = []
        self.size = 0

    def integer(self, number: int, value: int) -> None:
        """Append a whole number of at most 64 bits as a varint."""
        self._append(_tag(number, VARINT) + _as_varint(value))

    def real(self, number: int, value: float) -> None:
        """Append a float of 32 bits."""
        self._append(_tag(number, FIXED32) + struct.pack("<f", value))

    def text(self, number: int, value: str) -> None:
        """Append a text."""
        self.data(number, value.encode())

    def data(self, number: int, value: bytes | memoryview) -> None:
        """Append bytes; a memoryview, of single bytes, is kept and not copied."""
        self._append(_tag(number, BYTES) + _as_varint(len(value)))
        self._append(value)

    def message(self, number: int, value: Message) -> None:
        """Append a message, which must be complete."""
        self._append(_tag(number, BYTES) + _as_varint(value.size))
        self.parts += value.parts
        self.size += value.size

    def write(self, file: IO[bytes]) -> None:
        """Write all of it to a file."""
        for part in self.parts:
            file.write(part)

    def _append(self, part: bytes | memoryview) -> None:
        self.parts.append(part)
        self.size += len(part)


def _tag(number: int, kind: int) -> bytes:
    return _as_varint(number << 3 | kind)


def _as_varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # a negative number is written as its 64 bits
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)
