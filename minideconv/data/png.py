"""Whether a PNG file is whole: `png_damage`.

Each part of a PNG has a checksum, and so has the compressed stream of its pixels. Pillow compares
neither for the pixels: of a mask in which one bit has changed it makes another mask.

Source: https://www.w3.org/TR/png-3/, sections 5.2 to 5.6 (chunks), 8 (interlacing), 10 (zlib).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["PNG_SIGNATURE", "PngHeader", "png_damage", "png_header"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_SAMPLES = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGB_ALPHA: 4}
# Adam7: the first column and row of each pass, and the steps to the next.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
           (0, 1, 1, 2))  # fmt: skip
_PIECE = 1 << 20


class PngHeader(NamedTuple):
    """The beginning of a PNG: its size in pixels, the bits of a sample, and how it is stored."""

    width: int
    height: int
    depth: int
    colour: int
    compression: int
    filtering: int
    interlaced: int

    @property
    def grey(self) -> bool:
        """Whether its samples are grey levels alone."""
        return self.colour == _GREY

    def stored_bytes(self) -> int:
        """Return how many bytes its pixels are before they are compressed."""
        bits = self.depth * _SAMPLES[self.colour]

        def lines(width: int, height: int) -> int:
            return height * (1 + -(-width * bits // 8)) if width and height else 0

        if not self.interlaced:
            return lines(self.width, self.height)
        return sum(
            lines(-(-(self.width - x) // step_x), -(-(self.height - y) // step_y))
            for x, y, step_x, step_y in _PASSES
            if self.width > x and self.height > y
        )


def png_header(content: bytes) -> PngHeader | None:
    """Return the header of a PNG, or None if it is none."""
    if not content.startswith(PNG_SIGNATURE) or content[12:16] != b"IHDR" or len(content) < 33:
        return None
    return PngHeader(*struct.unpack(">IIBBBBB", content[16:29]))


def png_damage(content: bytes, pixels: bool) -> str:
    """Return what shows that a PNG is damaged or cut off, or "".

    Parameters
    ----------
    content : bytes
        The file; one that is no PNG is not looked at.
    pixels : bool
        Also unpack the pixels, to compare their number and the stream's checksum.
    """
    if not content.startswith(PNG_SIGNATURE):
        return ""
    stream: list[memoryview] = []
    for name, data, whole in _chunks(content):
        if not whole:
            return f"the checksum of its part {name!r} is wrong, or it ends within"
        if name == "IDAT":
            stream.append(data)
        if name == "IEND":
            break
    else:
        return "it ends before its last part"
    header = png_header(content)
    if header is None or header.colour not in _SAMPLES:
        return "it has no header"
    return _stream_damage(stream, header.stored_bytes()) if pixels else ""


def _chunks(content: bytes) -> Iterator[tuple[str, memoryview, bool]]:
    """Yield the name and data of each part, and whether its checksum is right."""
    view, at = memoryview(content), len(PNG_SIGNATURE)
    while at + 8 <= len(view):
        (length,) = struct.unpack(">I", view[at : at + 4])
        end = at + 8 + length
        name = bytes(view[at + 4 : at + 8]).decode("latin-1")
        stored = bytes(view[end : end + 4])
        right = struct.pack(">I", zlib.crc32(view[at + 4 : end])) == stored
        yield name, view[at + 8 : end], right
        if not right:
            return
        at = end + 4


def _stream_damage(parts: list[memoryview], expected: int) -> str:
    """Unpack a stream piece by piece, and keep nothing of it."""
    unpacked, found = zlib.decompressobj(), 0
    try:
        for part in parts:
            rest: bytes | memoryview = part
            while rest and found <= expected:
                found += len(unpacked.decompress(rest, _PIECE))
                rest = unpacked.unconsumed_tail
        while not unpacked.eof and found <= expected:
            more = len(unpacked.decompress(b"", _PIECE))
            if not more:
                break
            found += more
    except zlib.error as error:
        return str(error)
    if found != expected:
        return f"its pixels are {found} bytes instead of {expected}"
    return "" if unpacked.eof else "the stream of its pixels does not end"
