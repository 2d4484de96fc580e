"""Which process may write to a run folder: `new_run` makes one, `existing_run` opens one.

Both hold the folder's lock (`run_lock`) as long as their block lasts. Of several processes that
train together only rank 0 claims the folder.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from minideconv.errors import UsageError
from minideconv.files.atomic import remove_leftovers
from minideconv.settings.setting import refusal
from minideconv.training.run.commit import settle
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.lock import run_lock

__all__ = ["existing_run", "new_run"]


@contextlib.contextmanager
def new_run(data: str, output_dir: str | Path | None = None) -> Iterator[RunFolder]:
    """Make the folder of a new run: `output_dir`, or the next free ``runs/DATA-N``.

    It is made at once, so that another process finds it taken; if nothing was written to it when
    the block ends, it is removed again.

    Raises
    ------
    UsageError
        If the folder already holds a run or files that a run would overwrite, is a file, cannot
        be made, or another process is training there.
    """
    made: list[Path] = []
    try:
        if output_dir is None:
            _make_with_parents(Path("runs"), made)
            paths = (Path("runs", f"{data}-{number}") for number in itertools.count(1))
            run = RunFolder(next(path for path in paths if _make(path, made)))
        else:
            run = RunFolder(output_dir)
            _refuse_taken(run)
            _make_with_parents(run.path, made)
        with run_lock(run.path):
            _refuse_taken(run)  # again: it may have been taken between the look and the lock
            yield run
    finally:
        for folder in reversed(made):
            with contextlib.suppress(OSError):  # it is not empty: it stays
                folder.rmdir()


@contextlib.contextmanager
def existing_run(checkpoint: Path) -> Iterator[RunFolder]:
    """Go on with the run that a checkpoint belongs to.

    Raises
    ------
    UsageError
        If another process is training it, or the checkpoint is among files of another kind that
        the run would overwrite.
    """
    folder = checkpoint.parent
    if folder.name == "checkpoints":
        run = RunFolder(folder.parent)
    else:
        run = RunFolder(folder)
        if (there := run.files()) and not run.is_run():
            raise refusal(
                lambda name: (
                    f"{name('resume')} {checkpoint}: its folder is no run folder and holds "
                    f"{', '.join(there)}, which the run would overwrite; put the checkpoint into a "
                    "folder of its own"
                )
            )
    with run_lock(run.path):
        for part in (run.path, run.checkpoints, run.pictures):
            remove_leftovers(part)  # of a process that was killed: with the lock, ours alone
        settle(run)
        yield run


def _make_with_parents(path: Path, made: list[Path]) -> None:
    """Make a folder and those above it."""
    for folder in (*reversed(path.parents), path):
        if not _make(folder, made) and not folder.is_dir():
            raise UsageError(f"run folder {path}: {folder} is a file")


def _make(folder: Path, made: list[Path]) -> bool:
    """Make a folder and add it to `made`; return False if something has that name already."""
    try:
        folder.mkdir()  # in one step: of two processes, one makes it
    except OSError as error:
        # A root, or one that may not be written to, raises another error than FileExistsError.
        if isinstance(error, FileExistsError) or folder.is_dir():
            return False
        raise UsageError(f"run folder {folder}: {error.strerror}") from error
    made.append(folder)
    return True


def _refuse_taken(run: RunFolder) -> None:
    if run.path.exists() and not run.path.is_dir():
        raise refusal(lambda name: f"{name('output_dir')} {run.path} is a file; name a folder")
    if run.metrics.exists() or run.last.exists():
        raise refusal(
            lambda name: (
                f"{name('output_dir')} {run.path} already holds a run; go on with it by "
                f"{name('resume')} {run.path}, or name another folder"
            )
        )
    if there := run.files():
        raise refusal(
            lambda name: (
                f"{name('output_dir')} {run.path} already holds {', '.join(there)}, which the run "
                "would overwrite; name another folder"
            )
        )
