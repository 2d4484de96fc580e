"""One process at a time writes to a run folder: a lock that ends with the process that holds it.

The lock is the operating system's, on the file `.lock` in the folder: ``flock``, or on Windows
``msvcrt.locking``. The system lets go of it when its process ends, however it ends, so a run that
was killed blocks no other, and the file that it left behind means nothing. The file contains which
process holds the lock, for the message only.

Over NFS the lock holds between machines where the server's lock service runs (Linux, by default).
On a file system without locks a run goes on unlocked, with a warning.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from minideconv.errors import UsageError
from minideconv.files.atomic import remove_leftovers

__all__ = ["is_locked", "run_lock"]

_SAYS = b"process "  # what the file begins with
_HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}
_LOOKS = 5  # a report looks whether there is a lock by taking it for a moment
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}

if sys.platform == "win32":
    import msvcrt

    def _try(descriptor: int) -> None:
        # Far behind what is written there: locked bytes cannot be read, and the name should be.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_locked(folder: Path) -> bool:
    """Whether a process, this one included, holds the lock of a run folder: the run goes on."""
    # Neither a pipe's other end is waited for nor a link followed: neither is a lock of a run.
    flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    flags |= os.O_RDONLY if os.name == "posix" else os.O_RDWR
    try:
        descriptor = os.open(folder / ".lock", flags)
    except OSError:
        return False
    try:
        _try(descriptor)
    except OSError as error:
        return error.errno in _HELD
    finally:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder, which exists.

    Raises
    ------
    UsageError
        If another process holds it, the folder cannot be written to, or `.lock` is a file of
        something else.
    """
    path = folder / ".lock"
    try:
        descriptor = _acquire(path)
    except OSError as error:
        raise UsageError(f"{folder}: {path.name} cannot be made: {error.strerror}") from error
    try:
        remove_leftovers(folder)  # half-written files of processes that were killed
        yield
    finally:
        # First the name and then the lock: a process that locks the nameless file notices it.
        # Windows keeps the name of an open file; there the file stays behind.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _acquire(path: Path) -> int:
    """Return the descriptor of the locked file."""
    looks = 0
    while True:
        descriptor = _open(path)
        try:
            _try(descriptor)
            if _is_still(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, _SAYS + f"{os.getpid()} on {socket.gethostname()}".encode())
                return descriptor
        except OSError as error:
            if error.errno in _NO_LOCKS:
                warnings.warn(
                    f"{path.parent} is on a file system without locks: do not start another"
                    " process on this run",
                    RuntimeWarning,
                    stacklevel=2,
                )
                return descriptor
            os.close(descriptor)
            looks += 1
            if error.errno in _HELD and looks < _LOOKS:
                time.sleep(0.02)
                continue
            if error.errno in _HELD:
                raise UsageError(
                    f"{path.parent} is in use: {_holder(path)} is training there; wait until it"
                    " ends, or name another folder"
                ) from error
            raise
        os.close(descriptor)


def _holder(path: Path) -> str:
    """Return what the holder has written; it has the lock a moment before it writes its name."""
    for _ in range(100):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if text := path.read_text(encoding="utf-8")[:200]:
                return text
        if not path.exists():
            break  # it has ended meanwhile
        time.sleep(0.01)
    return "another process"


def _open(path: Path) -> int:
    """Open the file, or make it; one that no run made is refused as it is."""
    if path.is_symlink():
        raise _foreign(path)
    # A link that comes into being meanwhile is not followed either; Windows has no such flag.
    follow = getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | follow, 0o666)
    is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
    if is_file and os.read(descriptor, len(_SAYS)) in (b"", _SAYS):
        return descriptor
    os.close(descriptor)
    raise _foreign(path)


def _foreign(path: Path) -> UsageError:
    return UsageError(
        f"{path} is not the lock of a run but a link or another program's file, and is left as it"
        " is; name another folder"
    )


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the file has its name still; the holder before may have taken it away."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
