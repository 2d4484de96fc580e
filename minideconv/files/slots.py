"""`SlotFile`: a cache on disk, a file of equal slots, each with the bytes of one key.

    header   16 bytes of magic, 32 of identity, 8 of the slots' length, 8 of zeros
    slots    a key of 32 bytes, the CRC-32 of key and content in 4, 12 of zeros; then the content

A cache may lose what it has, but never give back anything else: a slot is believed if its key and
its checksum are right, so a file that was cut off, damaged or left half written by a killed process
costs time and nothing more. It is read and written by calls, not mapped into memory: what is wrong
with a disk is then an error that can be caught, and not a signal that ends the process.
"""

from __future__ import annotations

import contextlib
import struct
import threading
import zlib
from io import FileIO
from pathlib import Path

from minideconv.files.atomic import write_problem

__all__ = ["SlotFile"]

_MAGIC = b"minideconv slots"
_HEADER = struct.Struct("<16s32sQ8x")
_HEAD = struct.Struct("<32sI12x")


class SlotFile:
    """Contents of one length by keys of 32 bytes, in a file; safe to use from several threads.

    Parameters
    ----------
    path : str or Path
        The file. One that is there is gone on with if it has the same identity and length, and
        replaced otherwise.
    identity : 32 bytes
        Of all that the contents depend on besides the key, such as a digest of weights.
    size : int
        Bytes of each content.
    budget : int
        Bytes that the file may have. What comes when it is full is not kept.

    Attributes
    ----------
    capacity : int
        Contents for which there is room.
    problem : str
        Why nothing more is kept, if that is because of the disk; empty otherwise.
    """

    def __init__(self, path: str | Path, identity: bytes, size: int, budget: int) -> None:
        if len(identity) != 32:
            raise ValueError(f"SlotFile: identity has {len(identity)} bytes; it must have 32")
        self.path, self.size = Path(path), size
        self.capacity = max(0, (budget - _HEADER.size) // (_HEAD.size + size))
        self.problem = ""
        self._lock = threading.Lock()
        self._slots: dict[bytes, int] = {}
        self._used = 0
        self._file: FileIO | None = None
        if self.capacity:
            try:
                self._file = self._opened(_HEADER.pack(_MAGIC, identity, size))
            except OSError as error:
                self.problem = write_problem(error)

    def _opened(self, header: bytes) -> FileIO:
        """Open the file, and find out what is in it."""
        file = self.path.open("r+b" if self.path.is_file() else "w+b", buffering=0)
        try:
            if file.read(len(header)) != header:
                file.truncate(0)
                file.seek(0)
                _write(file, header)
            step = _HEAD.size + self.size
            self._used = (file.seek(0, 2) - len(header)) // step
            for slot in range(min(self._used, self.capacity)):
                file.seek(len(header) + slot * step)
                key, _ = _HEAD.unpack(file.read(_HEAD.size))
                self._slots[key] = slot
            self._used = min(self._used, self.capacity)
            # Half of a slot at the end, or more than the budget of today.
            file.truncate(len(header) + self._used * step)
        except BaseException:
            file.close()
            raise
        return file

    def __len__(self) -> int:
        """How many contents there are."""
        return len(self._slots)

    def __contains__(self, key: bytes) -> bool:
        return key in self._slots

    def read(self, key: bytes, content: memoryview) -> bool:
        """Fill `content`, of `size` bytes, with what is kept for a key; return whether it was.

        What turns out to be damaged is forgotten.
        """
        with self._lock:
            slot = self._slots.get(key)
            if slot is None or self._file is None:
                return False
            try:
                self._file.seek(_HEADER.size + slot * (_HEAD.size + self.size))
                head = self._file.read(_HEAD.size) or b""
                whole = len(head) == _HEAD.size and _read_into(self._file, content)
            except OSError:
                whole = False
            if whole and head == _head(key, content):
                return True
            del self._slots[key]
            return False

    def write(self, key: bytes, content: memoryview) -> bool:
        """Keep a content, if there is room; return whether it is kept."""
        with self._lock:
            if key in self._slots:
                return True
            if self._file is None or self.problem or self._used >= self.capacity:
                return False
            place = _HEADER.size + self._used * (_HEAD.size + self.size)
            try:
                self._file.seek(place)
                _write(self._file, _head(key, content))
                _write(self._file, content)
            except OSError as error:
                self.problem = write_problem(error)
                with contextlib.suppress(OSError):
                    self._file.truncate(place)
                return False
            self._slots[key] = self._used
            self._used += 1
            return True

    def close(self, remove: bool = False) -> None:
        """Close the file, and remove it if that is wanted; nothing is kept any more."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
            self._slots.clear()
            if remove:
                with contextlib.suppress(OSError):
                    self.path.unlink(missing_ok=True)


def _head(key: bytes, content: memoryview) -> bytes:
    return _HEAD.pack(key, zlib.crc32(content, zlib.crc32(key)))


def _write(file: FileIO, content: bytes | memoryview) -> None:
    """Write all of it; a call may write a part."""
    rest = memoryview(content).cast("B")
    while rest:
        rest = rest[file.write(rest) :]


def _read_into(file: FileIO, content: memoryview) -> bool:
    """Fill `content`; return False if the file ends before."""
    rest = content.cast("B")
    while rest:
        count = file.readinto(rest)
        if not count:
            return False
        rest = rest[count:]
    return True
