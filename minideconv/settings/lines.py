"""`print_line`: a line of output that ends no program, whatever it is about."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

__all__ = ["print_line"]


def print_line(text: str, stream: Any = None) -> bool:
    """Print a line at once; return whether it could be printed.

    Characters that the terminal does not have, and bytes in a file's name that are none, are
    printed as escapes. If nobody reads the stream any more, or the disk it goes to is full, it is
    pointed at nothing: later lines, and the interpreter when it ends, do not fail as well.

    Parameters
    ----------
    text : str
    stream : text file, optional
        The standard output if left out.
    """
    stream = sys.stdout if stream is None else stream
    if stream is None:  # a program without a console
        return False
    encoding = getattr(stream, "encoding", None) or "utf-8"
    shown = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(shown, file=stream, flush=True)
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True
