"""The processes below one, and their end. Needs /proc, so Linux; elsewhere there are none."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

__all__ = ["below", "end", "end_below", "marked", "resident"]

PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def below(pid: int) -> set[int]:
    """Return the processes that a process started, and those that they started."""
    found: set[int] = set()
    new = [pid]
    while new:
        new = [child for parent in new for child in _children(parent) if child not in found]
        found.update(new)
    return found


def _children(pid: int) -> list[int]:
    """Return the children of all threads of a process."""
    try:
        lists = [
            Path(f"/proc/{pid}/task/{task}/children").read_text("ascii")
            for task in os.listdir(f"/proc/{pid}/task")
        ]
    except (OSError, ValueError):  # it has ended
        return []
    return [int(child) for text in lists for child in text.split()]


def marked(session: int, home: str) -> set[int]:
    """Return the processes of a session, and those whose environment names a folder.

    For what is left when the process above them was killed, so that they are below it no more.
    """
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        with contextlib.suppress(OSError):
            own = os.getsid(int(pid)) == session
            if own or home.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.add(int(pid))
    return found - {os.getpid()}


def resident(pids: set[int]) -> int:
    """Return how many bytes of memory processes hold; shared pages count in each."""
    pages = 0
    for pid in pids:
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        except (OSError, ValueError, IndexError):
            continue
    return pages * PAGE


def end_below(pid: int, seconds: float = 5.0) -> None:
    """Kill the processes below one.

    They are stopped first, until no new one is found: a process that starts others faster than
    they are killed would never end otherwise.
    """
    until = time.monotonic() + seconds
    stopped: set[int] = set()
    while (new := below(pid) - stopped) and time.monotonic() < until:
        for child in new:
            _signal(child, "SIGSTOP")
        stopped |= new
    end(stopped | below(pid))


def end(pids: set[int]) -> None:
    """Kill processes."""
    for pid in pids:
        _signal(pid, "SIGKILL")


def _signal(pid: int, name: str) -> None:
    with contextlib.suppress(OSError):  # it has ended
        os.kill(pid, getattr(signal, name))
