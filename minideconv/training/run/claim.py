"""Who may write to a run folder: `new_run` makes one, `existing_run` opens one.

Both hold the folder's lock (`run_lock`) as long as their block lasts. Of several processes that
train together only rank 0 claims the folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from minideconv.errors import UsageError
from minideconv.training.config import TrainConfig
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.lock import run_lock

__all__ = ["existing_run", "new_run"]


@contextlib.contextmanager
def new_run(config: TrainConfig) -> Iterator[RunFolder]:
    """Make the folder of a new run: ``--output-dir``, or the next free ``runs/DATA-N``.

    It is made at once, so that another process finds it taken; if nothing was written to it when
    the block ends, it is taken away again.

    Raises
    ------
    UsageError
        If the folder already holds a run or files that a run would overwrite, is a file, cannot
        be made, or another process is training there.
    """
    made: list[Path] = []
    try:
        run = _next_free(config.data, made) if config.output_dir is None else _named(config, made)
        with run_lock(run.path):
            _refuse_taken(run)  # again: it may have been taken between the look and the lock
            yield run
    finally:
        for folder in reversed(made):
            with contextlib.suppress(OSError):  # it is not empty: it stays
                folder.rmdir()


@contextlib.contextmanager
def existing_run(checkpoint: Path) -> Iterator[RunFolder]:
    """Take up the run that a checkpoint belongs to.

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
            raise UsageError(
                f"--resume {checkpoint}: its folder is no run folder and holds {', '.join(there)},"
                " which the run would overwrite; put the checkpoint into a folder of its own"
            )
    with run_lock(run.path):
        yield run


def _next_free(data: str, made: list[Path]) -> RunFolder:
    runs = Path("runs")
    _make(runs, made)
    number = 1
    while True:
        path = runs / f"{data}-{number}"
        try:
            path.mkdir()  # in one step: of two processes, one makes it
        except FileExistsError:
            number += 1
        except OSError as error:
            raise UsageError(f"run folder {path}: {error.strerror}") from error
        else:
            made.append(path)
            return RunFolder(path)


def _named(config: TrainConfig, made: list[Path]) -> RunFolder:
    run = RunFolder(str(config.output_dir))
    if run.path.exists() and not run.path.is_dir():
        raise UsageError(f"--output-dir {run.path} is a file; name a folder")
    _refuse_taken(run)
    _make(run.path, made)
    return run


def _make(path: Path, made: list[Path]) -> None:
    """Make a folder and those above it; add those that were not there to `made`."""
    for folder in (*reversed(path.parents), path):
        try:
            folder.mkdir()
        except FileExistsError:
            if not folder.is_dir():
                raise UsageError(f"run folder {path}: {folder} is a file") from None
        except OSError as error:
            if not folder.is_dir():  # a root, or one that may not be written to but is there
                raise UsageError(f"run folder {path}: {error.strerror}") from error
        else:
            made.append(folder)


def _refuse_taken(run: RunFolder) -> None:
    if run.metrics.exists() or run.last.exists():
        raise UsageError(
            f"--output-dir {run.path} already holds a run; go on with it by --resume {run.path}, "
            "or name another folder"
        )
    if there := run.files():
        raise UsageError(
            f"--output-dir {run.path} already holds {', '.join(there)}, which the run would"
            " overwrite; name another folder"
        )
