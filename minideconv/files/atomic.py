"""Files that are written whole or not at all: `replacing` and `replace_file`; why one was not."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["replace_file", "replacing", "write_problem"]


@contextlib.contextmanager
def replacing(path: str | Path, sync: bool = False) -> Iterator[IO[bytes]]:
    """Open a temporary file that becomes `path` in one step, when the block ends well.

    If the block raises, or the disk is full, what was at `path` is there still and no other
    file is left. A link stays a link: the file that it points to is replaced. A device or a pipe
    cannot be replaced and is written to.

    Parameters
    ----------
    path : str or Path
        The file, whose folder exists.
    sync : bool
        Force the bytes to the disk before the name changes hands, so that a power cut, too, leaves
        one of the two whole.
    """
    path = Path(path)
    # The name as it is: what a nameless pipe, such as /dev/stdout, resolves to is no path.
    if path.exists() and not path.is_file():
        with path.open("wb") as device:  # raises for a folder
            yield device
        return
    path = Path(os.path.realpath(path))
    # Beside the file, for only within one file system is a renaming one step; under a name of its
    # own, for another process may be writing the same file.
    descriptor, name = tempfile.mkstemp(prefix=".writing-", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp makes the file private
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def replace_file(path: str | Path, content: bytes) -> None:
    """Write a whole file in one step; see `replacing`."""
    with replacing(path) as file:
        file.write(content)


def write_problem(error: OSError) -> str:
    """Return why a file could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "the disk is full" if full else error.strerror or str(error)
