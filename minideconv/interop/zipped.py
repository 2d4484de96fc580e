"""Zip archives whose members are stored as they are: each member is a slice of the file.

PyTorch and NumPy write such archives. A compressed member is refused, for a few bytes of it may
claim to be gigabytes; a stored one is never longer than the file.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from minideconv.interop.malformed import Malformed, shown

__all__ = ["Members"]

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., lengths of name and extra field


class Members:
    """The members of an archive by name, looked up when they are asked for.

    Parameters
    ----------
    data : memoryview
        The whole archive.

    Raises
    ------
    Malformed
        If there is no directory of members.
    """

    def __init__(self, data: memoryview) -> None:
        self._data = data
        try:
            with zipfile.ZipFile(_Reader(data)) as archive:
                self._entries = {entry.filename: entry for entry in archive.infolist()}
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
            raise Malformed(f"the zip archive is truncated or damaged ({shown(error)})") from error

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
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise Malformed(
                f"member {shown(name)} of the zip archive is compressed or encrypted, which weight"
                " files are not"
            )
        offset = entry.header_offset
        header = bytes(self._data[offset : offset + _LOCAL_HEADER.size]) if offset >= 0 else b""
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise Malformed(f"member {shown(name)} of the zip archive is not where it should be")
        _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        start = offset + _LOCAL_HEADER.size + name_length + extra_length
        content = self._data[start : start + entry.file_size]
        if len(content) < entry.file_size:
            raise Malformed(
                f"member {shown(name)} of the zip archive claims {entry.file_size:,} bytes,"
                f" but {len(content):,} are left"
            )
        # PyTorch has an option to compute no checksums and writes 0 then.
        if entry.CRC and zlib.crc32(content) != entry.CRC:
            raise Malformed(f"member {shown(name)} of the zip archive is damaged: wrong checksum")
        return content


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
