"""Which process may write to a run folder: `new_run` makes one, `existing_run` opens one.

`forked_run` makes one that goes on from another run's checkpoint. All hold the folder's lock
(`run_lock`) as long as their block lasts. Of several processes that train together only rank 0
claims the folder.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

from minideconv.errors import CheckpointError, UsageError
from minideconv.files.atomic import remove_leftovers, replace_by_copy, write_problem
from minideconv.settings.setting import refusal
from minideconv.training.run.checkpoint import read_run_header
from minideconv.training.run.commit import best_header, settle
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.lock import run_lock

__all__ = ["existing_run", "forked_run", "new_run", "run_of"]


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
    """Go on with the run that a checkpoint belongs to, from its last one.

    Raises
    ------
    UsageError
        If another process is training it, the checkpoint is in no run's folder, or the run has
        gone further than the checkpoint.
    """
    run = run_of(checkpoint)
    if not run.is_run():
        there = run.files()
        holds = f" and holds {', '.join(there)}, which the run would overwrite" if there else ""
        raise refusal(
            lambda name: (
                f"{name('resume')} {checkpoint}: its folder is no run folder{holds}; add "
                f"{name('output_dir')} NEW to go on from it in a new folder"
            )
        )
    with run_lock(run.path):
        for part in (run.path, run.checkpoints, run.pictures):
            remove_leftovers(part)
        settle(run)
        _refuse_older(checkpoint, run)
        yield run


@contextlib.contextmanager
def forked_run(checkpoint: Path, output_dir: str | Path) -> Iterator[RunFolder]:
    """Go on from a checkpoint in the folder of a new run, and leave its own run as it is.

    The new folder gets the checkpoint, the lines of metrics.jsonl that it has seen, and the best
    epoch until then, if that is there still. If the run does not come to write its configuration,
    they are removed again.

    Raises
    ------
    UsageError
        As `new_run`.
    CheckpointError
        If the checkpoint cannot be read, or the disk is full.
    """
    progress, source = read_run_header(checkpoint)["progress"], run_of(checkpoint)
    with new_run("", output_dir) as run:
        try:
            try:
                run.checkpoints.mkdir()
                best = best_header(source)
                # Copies, not further names of the files: what becomes of one run's is not to
                # become of the other's.
                if progress.get("best_epoch") == progress["epoch"] and not progress["epoch_step"]:
                    replace_by_copy(run.best, checkpoint, link=False)
                elif best is not None and best["progress"]["epoch"] == progress.get("best_epoch"):
                    replace_by_copy(run.best, source.best, link=False)
                replace_by_copy(run.last, checkpoint, link=False)
                if source.metrics.exists():
                    shutil.copyfile(source.metrics, run.metrics)
            except OSError as error:
                wrong = f"{run.path} could not be written: {write_problem(error)}"
                raise CheckpointError(wrong) from error
            yield run
        finally:
            if not run.config.exists():
                for path in (run.last, run.best, run.metrics):
                    path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    run.checkpoints.rmdir()


def run_of(checkpoint: Path) -> RunFolder:
    """Return the folder in which a checkpoint lies, if that is a run's."""
    folder = checkpoint.parent
    return RunFolder(folder.parent if folder.name == "checkpoints" else folder)


def _refuse_older(checkpoint: Path, run: RunFolder) -> None:
    """Refuse a checkpoint which is not where its run is: what came after it would be lost."""
    if not checkpoint.exists() or checkpoint.samefile(run.last):
        return
    names = ("epoch", "epoch_step", "step")
    mine, last = read_run_header(checkpoint), read_run_header(run.last)
    found = [{name: one["progress"].get(name) for name in names} for one in (mine, last)]
    if found[0] != found[1] or mine["config"].get("seed") != last["config"].get("seed"):
        raise refusal(
            lambda name: (
                f"{name('resume')} {checkpoint}: it is of step {found[0]['step']}, but the run's "
                f"last.npz is of step {found[1]['step']}, and what came between would be lost; go "
                f"on with {name('resume')} {run.path}, or add {name('output_dir')} NEW to go on "
                "from this checkpoint in a new folder"
            )
        )


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
    around = RunFolder(run.path.resolve().parent)
    own = [path.name for path in (around.checkpoints, around.pictures)]
    if run.path.resolve().name in own and around.is_run():
        raise refusal(
            lambda name: (
                f"{name('output_dir')} {run.path} is a part of the run {around.path};"
                " name another folder"
            )
        )
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
