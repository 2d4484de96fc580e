"""The copy of a submission that the student's process works in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from minideconv.errors import UsageError

__all__ = ["copy_folder"]

MAX_FILES = 2000


def copy_folder(file: Path, to: Path, most: int) -> None:
    """Copy the folder that a file is in.

    Links are left out, for they may lead to files that are not the student's, and so are hidden
    files, what Python compiled, and what is no regular file.

    Parameters
    ----------
    file : Path
        The student's file.
    to : Path
        The copy, which must not exist.
    most : int
        Bytes that the folder may hold.

    Raises
    ------
    UsageError
        If the folder holds more, or too many files.
    """
    folder, total, count = file.parent, 0, 0
    to.mkdir(parents=True)
    for path in _files(folder):
        total, count = total + path.stat().st_size, count + 1
        if total > most or count > MAX_FILES:
            raise UsageError(
                f"{folder} holds more than {most:,} bytes or {MAX_FILES:,} files; "
                "a submission needs a folder of its own"
            )
        copy = to / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    # The file itself may be a link: the grader named it.
    if not (to / file.name).exists():
        shutil.copyfile(file, to / file.name)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the regular files of a folder and those below it."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name != "__pycache__"
            and not (Path(where) / name / "pyvenv.cfg").exists()
        )
        for name in sorted(names):
            path = Path(where) / name
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path
