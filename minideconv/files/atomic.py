"""Files that are written whole or not at all: `replacing`, `replace_file`, `replace_by_copy`."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["remove_leftovers", "replace_by_copy", "replace_file", "replacing", "write_problem"]

_PREFIX, _SUFFIX = ".writing-", ".tmp"
_numbers = itertools.count()

if sys.platform == "win32":

    def _hold(descriptor: int) -> bool:
        return True  # an open file cannot be removed there

else:
    import fcntl

    def _hold(descriptor: int) -> bool:
        """Lock a temporary file as long as it is open; return False if its writer is alive."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
        return True


@contextlib.contextmanager
def replacing(path: str | Path, sync: bool = False) -> Iterator[IO[bytes]]:
    """Open a temporary file that becomes `path` in one step, when the block ends well.

    If the block raises, or the disk is full, what was at `path` is there still and no other
    file is left. A link stays a link: the file that it points to is replaced. A device or a pipe
    cannot be replaced and is written to; a pipe without a reader is waited for.

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
    descriptor, name = _temporary(path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)  # mkstemp makes the file private
            if sys.platform == "win32":
                file.close()  # an open file keeps its name there
            os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _temporary(folder: Path) -> tuple[int, str]:
    """Make a temporary file and hold it; return its descriptor and its name."""
    while True:
        descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=folder)
        if _hold(descriptor) and os.path.exists(name):
            return descriptor, name
        os.close(descriptor)  # `remove_leftovers` of another process saw it before it was held


def replace_file(path: str | Path, content: bytes) -> None:
    """Write a whole file in one step; see `replacing`."""
    with replacing(path) as file:
        file.write(content)


def replace_by_copy(path: str | Path, source: str | Path, link: bool = True) -> None:
    """Give `path` the content of `source` in one step; where there are hard links, without a copy.

    Both names are then of one file. As files are replaced here and never changed, that is never
    noticed: the next `replacing` of one name leaves the other one's content. Other programs do
    change files, ``cp`` for one: what is to stand on its own is copied, with ``link=False``.
    """
    path, source = Path(os.path.realpath(path)), Path(os.path.realpath(source))
    if path.exists() and os.path.samefile(path, source):
        return  # renaming one name of a file to another one would do nothing, and keep both
    try:
        if not link:
            raise OSError(errno.ENOTSUP, "no link is wanted")
        name = _linked(path, source)
    except OSError:  # another file system, or one without links
        with source.open("rb") as content, replacing(path, sync=True) as file:
            shutil.copyfileobj(content, file, 1 << 20)
        return
    try:
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _linked(path: Path, source: Path) -> Path:
    """Give `source` a temporary name beside `path` too; return it."""
    while True:
        name = path.with_name(f"{_PREFIX}{os.getpid()}-{next(_numbers)}{_SUFFIX}")
        with contextlib.suppress(FileExistsError):  # another machine's, with the same number
            os.link(source, name)
            return name


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove the temporary files in `folder` of processes that were killed; return them.

    A process that is still writing holds its file's lock, and the file stays.
    """
    found = []
    for path in sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}")):
        if path.is_symlink() or not path.is_file():
            continue
        with contextlib.suppress(OSError), path.open("rb") as file:
            if _hold(file.fileno()):
                path.unlink()
                found.append(path)
    return found


def write_problem(error: OSError) -> str:
    """Return why a file could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "the disk is full" if full else error.strerror or str(error)
