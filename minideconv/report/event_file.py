"""TensorBoard's event files: a record for each number, with checksums.

A record is: the length of its data (uint64), the masked CRC-32C of that (uint32), the data, the
masked CRC-32C of the data; all little-endian. The data is a protobuf message ``Event``:

====== ======== ==============================================================
number kind     meaning
====== ======== ==============================================================
1      double   wall_time: seconds since 1970
2      int64    step
3      string   file_version, in the first record alone: ``brain.Event:2``
5      message  summary: values (1), each with a tag (1) and a number (2, float)
====== ======== ==============================================================

Source: TensorFlow's ``core/util/event.proto``, ``core/framework/summary.proto`` and
``core/lib/io/record_writer``; RFC 3720, appendix B.4 for CRC-32C.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from minideconv.interop.protobuf import Message

__all__ = ["crc32c", "event_file"]

_POLYNOMIAL = 0x82F63B78  # of Castagnoli, bits reversed
_MASK = 0xA282EAD8


def _table() -> list[int]:
    table = []
    for octet in range(256):
        value = octet
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of some bytes.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    value = 0xFFFFFFFF
    for octet in data:
        value = _TABLE[(value ^ octet) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def event_file(begun: float, scalars: Iterable[tuple[float, int, str, float]]) -> bytes:
    """Return the content of an event file.

    Parameters
    ----------
    begun : float
        Seconds since 1970.
    scalars : iterable of (seconds, step, tag, value)
        Each number: when it was measured, after which step, its name, and itself.
    """
    version = Message()
    version.text(3, "brain.Event:2")
    records = [_record(_event(begun, None, version))]
    for seconds, step, tag, number in scalars:
        value, summary, event = Message(), Message(), Message()
        value.text(1, tag)
        value.real(2, number)
        summary.message(1, value)
        event.message(5, summary)
        records.append(_record(_event(seconds, step, event)))
    return b"".join(records)


def _event(seconds: float, step: int | None, rest: Message) -> bytes:
    head = Message()
    if step is not None:
        head.integer(2, step)
    wall_time = struct.pack("<Bd", 1 << 3 | 1, seconds)  # field 1, of 64 bits
    return wall_time + b"".join([*head.parts, *rest.parts])


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _masked(data: bytes) -> bytes:
    value = crc32c(data)
    return struct.pack("<I", ((value >> 15 | value << 17) + _MASK) & 0xFFFFFFFF)
