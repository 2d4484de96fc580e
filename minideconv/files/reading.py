"""Files opened for reading: regular files of a bounded length, and nothing else.

A name that a user or another file gives may be that of a pipe, which makes whoever opens it wait
for a writer that never comes, or of a device that never ends. Both are refused here, before a byte
is read. All that is wrong is an `OSError` whose ``strerror`` is the end of a sentence, as the
system's own are: "No such file or directory", "it is a pipe, not a file".
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import IO, Any

__all__ = ["open_regular", "read_bytes", "read_json", "read_text"]

MOST_TEXT = 8 << 20
"""Bytes of a text that is read as a whole; parsed as JSON it may take twenty times as much."""

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: str | Path) -> IO[bytes]:
    """Open a regular file for reading.

    Raises
    ------
    OSError
        If there is none of that name, or it is a folder, a pipe or a device; opening it does not
        wait.
    """
    # A pipe is opened without waiting for its writer; to a regular file the flag means nothing.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_NOCTTY", 0))
    except ValueError as error:  # a name with a zero byte, which no file has
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket cannot be opened at all
            raise OSError(errno.EINVAL, "it is a socket, not a file", str(path)) from error
        raise
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "something else")
            raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: str | Path, most: int = MOST_TEXT) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    Raises
    ------
    OSError
        As `open_regular`, or if the file is longer.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is longer than {most:,} bytes", str(path))
    return content


def read_text(path: str | Path, most: int = MOST_TEXT) -> str:
    """Return the content of a regular file in UTF-8.

    Raises
    ------
    OSError
        As `read_bytes`, or if it is no UTF-8.
    """
    try:
        return read_bytes(path, most).decode()
    except UnicodeDecodeError as error:
        raise OSError(errno.EILSEQ, "it is not text in UTF-8", str(path)) from error


def read_json(path: str | Path, most: int = MOST_TEXT) -> Any:
    """Return the content of a JSON file.

    Raises
    ------
    OSError
        As `read_bytes`, or if it is no JSON; the cause is the parser's error.
    """
    content = read_bytes(path, most)
    try:
        return json.loads(content.decode())
    except (ValueError, RecursionError) as error:  # too deep for the parser
        raise OSError(errno.EINVAL, f"it is not valid JSON: {error}", str(path)) from error
