"""Ctrl-C while a program is still being imported: it ends with code 130, and no traceback.

``python -m minideconv.train`` imports the package first, which takes a second or more, and only
then the program, whose `command_line.run_program` makes a sentence of an interrupt. Until there an
interrupt would be raised inside of some import, and its traceback says nothing to anybody.

Nothing is imported here but what Python itself has loaded.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

__all__ = ["begin", "done"]


def begin() -> None:
    """End quietly by SIGINT from now on, if Python is looking for a program by ``-m``.

    A handler that is not Python's own is left alone: with ``nohup`` the signal is to be ignored.
    """
    # What Python calls the program until it has found it; no other program is called so.
    if sys.argv[:1] != ["-m"] or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    names = zip(sys.orig_argv, sys.orig_argv[1:], strict=False)
    if any(flag == "-m" and name.startswith("minideconv.") for flag, name in names):
        signal.signal(signal.SIGINT, _end)


def done() -> None:
    """Let SIGINT raise KeyboardInterrupt again: the program has begun."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(signal_number: int, frame: Any) -> None:
    os._exit(128 + signal_number)
