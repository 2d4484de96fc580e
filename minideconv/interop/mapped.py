"""A file as one block of bytes that the system reads when they are looked at."""

from __future__ import annotations

import mmap
import stat
from pathlib import Path

from minideconv.interop.malformed import Malformed

__all__ = ["map_file"]


def map_file(path: Path) -> memoryview:
    """Return the bytes of a file, read-only; slices of them are no copies.

    So that a reader can jump from one array to the next, and takes memory for those alone which it
    copies. The file is closed when the last slice of it is gone.

    Raises
    ------
    Malformed
        If the file is missing, empty, or no file at all.
    """
    try:
        # A pipe would block for ever when it is opened, so its kind is asked for first.
        if not stat.S_ISREG(path.stat().st_mode):
            raise Malformed("it is a folder or a device, not a file")
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise Malformed(f"it cannot be opened ({error.strerror or error})") from error
    except ValueError as error:  # of mmap, which has no name for nothing
        raise Malformed("the file is empty") from error
