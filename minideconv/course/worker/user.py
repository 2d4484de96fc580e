"""A user of the system for the student's process alone, where the grader is root.

In the containers of grading platforms the grader often is root. A process of another user can
neither read the grader's memory and files of mode 600, nor end it, nor raise its own limits.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import numpy as np

__all__ = ["give", "own_user"]

# From systemd's range for users without an account; rootless containers know numbers to 65535.
FIRST, MANY = 61184, 4000
_next = count(os.getpid() * 7)


def own_user(needed: Iterable[Path]) -> int | None:
    """Return the number of a user that no other process has; None if there can be none.

    There is none if the grader is not root, or if Python, NumPy or a file that is needed lies in
    a folder that others may not enter.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    python = (Path(sys.executable), Path(os.__file__).parent, Path(np.__file__).parent)
    if not all(_open_to_all(path.resolve()) for path in (*python, *needed)):
        return None
    return FIRST + next(_next) % MANY


def _open_to_all(path: Path) -> bool:
    """Return whether every user can read a file or folder."""
    try:
        if not path.stat().st_mode & stat.S_IROTH:
            return False
        return all(p.stat().st_mode & stat.S_IXOTH for p in (path, *path.parents) if p.is_dir())
    except OSError:
        return False


def give(folder: Path, user: int) -> None:
    """Give a folder and all in it to a user."""
    for where, _, names in os.walk(folder):
        for path in (where, *(os.path.join(where, name) for name in names)):
            os.chown(path, user, user, follow_symlinks=False)
