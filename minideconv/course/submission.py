"""What was handed in: which file of it is graded, and what is wrong with it before it is run."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from minideconv.course.results import clean
from minideconv.course.unit import Unit
from minideconv.errors import UsageError, some

__all__ = ["MOST_SOURCE", "refuse_unreadable", "unit_of", "unusable"]

MOST_SOURCE = 1 << 20
"""Bytes of a student's file."""


def unit_of(submission: Path, units: Mapping[str, Unit]) -> Unit:
    """Return the unit that a file or folder was handed in for, by the names of the files.

    Raises
    ------
    UsageError
        If there is no submission, or it fits no unit or several.
    """
    if not submission.exists():
        raise UsageError(f"there is no file or folder {submission}")
    names = {submission.name}
    if submission.is_dir():
        names = {path.name for path in submission.iterdir()}
    found = [unit for unit in units.values() if unit.file in names]
    if len(found) != 1:
        fits = "none" if not found else some([unit.name for unit in found])
        raise UsageError(f"{submission} fits {fits} of the units; name one by --unit")
    return found[0]


def unusable(submission: Path, unit: Unit) -> tuple[Path, str]:
    """Return the file to grade, and a sentence to the student if it cannot be; "" if it can.

    A link is not followed: it could lead to a file of the grader's.
    """
    path = submission / unit.file if submission.is_dir() else submission
    try:
        found = path.lstat()
    except OSError:
        return path, f"There is no file {unit.file}; {_there(submission)}"
    if stat.S_ISLNK(found.st_mode):
        return path, f"{unit.file} is a link; hand in the file itself."
    if not stat.S_ISREG(found.st_mode):
        return path, f"{unit.file} is no file."
    if found.st_size > MOST_SOURCE:
        return path, f"{unit.file} has {found.st_size} bytes; {MOST_SOURCE} are the most."
    return path, ""


def _there(submission: Path) -> str:
    if not submission.is_dir():
        return "hand it in under that name."
    names = [clean(path.name, 80) for path in sorted(submission.iterdir())]
    return f"what was handed in: {some(names)}." if names else "nothing was handed in."


def refuse_unreadable(file: Path) -> None:
    """Refuse what is no file.

    Raises
    ------
    UsageError
        One sentence with its name.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
