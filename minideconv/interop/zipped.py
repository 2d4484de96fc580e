"""Zip archives whose members are stored as they are: each member is a slice of the file.

PyTorch and NumPy write such archives. A compressed member is refused, for a few bytes of it may
claim to be gigabytes; a stored one is never longer than the file. Of a checkpoint of this library,
which a user may have compressed, all members together may be `MOST_TIMES` as long as the file; what
they claim to be is added up before any of them is unpacked.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from minideconv.interop.malformed import Malformed, shown

__all__ = ["MOST_TIMES", "Members"]

MOST_TIMES = 20
"""Times its own length that a compressed checkpoint may hold; numbers hardly compress."""
_NOT_COUNTED = 1 << 20  # bytes: an array of zeros may be all there is

_GAPS = (0, 12, 16, 20, 24)  # a program that could not seek writes lengths behind a member
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., lengths of name and extra field


class Members:
    """The members of an archive by name, looked up when they are asked for.

    Parameters
    ----------
    data : memoryview
        The whole archive.
    checkpoint : bool
        Whether it is a checkpoint: every member has a checksum, where PyTorch has an option to
        compute none and writes 0, and members may be compressed.

    Raises
    ------
    Malformed
        If there is no directory of members, two members have one name or bytes in common, or all
        claim to be longer than they can be.
    """

    def __init__(self, data: memoryview, checkpoint: bool = False) -> None:
        self._data, self._checkpoint = data, checkpoint
        try:
            with zipfile.ZipFile(_Reader(data)) as archive:
                entries, directory = archive.infolist(), archive.start_dir
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
            raise Malformed(f"the zip archive is truncated or damaged ({shown(error)})") from error
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) < len(entries):
            raise Malformed("two members of the zip archive have the same name")
        end = 0
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            if 0 <= entry.header_offset < end:
                name = shown(entry.filename)
                raise Malformed(f"member {name} of the zip archive overlaps another")
            end = entry.header_offset + _LOCAL_HEADER.size + entry.compress_size
        if not checkpoint:
            return
        self._check_coverage(entries, directory)
        claimed = sum(entry.file_size for entry in entries)
        if claimed > MOST_TIMES * len(data) + _NOT_COUNTED:
            raise Malformed(
                f"its members claim to be {claimed:,} bytes, more than {MOST_TIMES} times the"
                f" {len(data):,} of the file"
            )

    def _check_coverage(self, entries: list[zipfile.ZipInfo], directory: int) -> None:
        """Refuse bytes in front of the directory that belong to no member it names.

        So that no member is missing unnoticed, as when damage in the directory hides its entry.
        """
        end = 0
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            gap = entry.header_offset - end
            end = self._start(entry) + entry.compress_size
            if gap not in _GAPS:
                raise Malformed(f"{gap:,} bytes of the zip archive belong to no member")
        if directory - end not in _GAPS:
            raise Malformed(f"{directory - end:,} bytes of the zip archive belong to no member")

    def _start(self, entry: zipfile.ZipInfo) -> int:
        """Return where a member's bytes begin."""
        offset, name = entry.header_offset, entry.filename
        header = bytes(self._data[offset : offset + _LOCAL_HEADER.size]) if offset >= 0 else b""
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise Malformed(f"member {shown(name)} of the zip archive is not where it should be")
        _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        start: int = offset + _LOCAL_HEADER.size + name_length + extra_length
        own_name = self._data[start - name_length - extra_length : start - extra_length]
        encoding = "utf-8" if entry.flag_bits & 0x800 else "cp437"
        if bytes(own_name) != entry.orig_filename.encode(encoding, "replace"):
            raise Malformed(f"member {shown(name)} of the zip archive is under another name there")
        return start

    @property
    def names(self) -> list[str]:
        """The members' names."""
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> memoryview:
        """Return the bytes of a member, checked by its checksum."""
        entry = self._entries.get(name)
        if entry is None:
            raise Malformed(f"the zip archive has no member {shown(name)}")
        deflated = self._checkpoint and entry.compress_type == zipfile.ZIP_DEFLATED
        if not (deflated or entry.compress_type == zipfile.ZIP_STORED) or entry.flag_bits & 1:
            raise Malformed(
                f"member {shown(name)} of the zip archive is compressed or encrypted, which weight"
                " files are not"
            )
        start = self._start(entry)
        length = entry.compress_size if deflated else entry.file_size
        content = self._data[start : start + length]
        if len(content) < length:
            raise Malformed(
                f"member {shown(name)} of the zip archive claims {length:,} bytes,"
                f" but {len(content):,} are left"
            )
        if deflated:
            content = _inflated(content, entry.file_size, name)
        if (entry.CRC or self._checkpoint) and zlib.crc32(content) != entry.CRC:
            raise Malformed(f"member {shown(name)} of the zip archive is damaged: wrong checksum")
        return content


def _inflated(content: memoryview, length: int, name: str) -> memoryview:
    """Unpack a member, which gives as many bytes as its entry says or is refused."""
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        found = unpacking.decompress(content, length + 1)
    except zlib.error as error:
        raise Malformed(f"member {shown(name)} of the zip archive is damaged ({error})") from error
    if len(found) != length or not unpacking.eof or unpacking.unused_data:
        raise Malformed(f"member {shown(name)} of the zip archive is not as long as it says")
    return memoryview(found)


class _Reader(io.RawIOBase):
    """A file of bytes that are in memory already, without a copy of them."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._position = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._position, len(self._data))[whence]
        if base + offset < 0:
            raise ValueError("a negative place in the file")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        stop = None if size is None or size < 0 else self._position + size
        content = bytes(self._data[self._position : stop])
        self._position += len(content)
        return content
