"""How a run's two checkpoints change: in an order in which both are right at every instant.

An epoch is saved three times at most:

1. ``last.npz`` when it is trained, and not yet validated: a validation that fails loses no epoch;
2. ``best.npz`` when it is validated and the best so far. This is the one step in which the run goes
   from one best epoch to the next: the file's own header names the epoch that it holds;
3. ``last.npz`` again, with the validation counted: another name of the same file, if it is the
   best.

A process that dies between 2 and 3 leaves a best.npz that is one validation ahead of last.npz;
`settle` carries out step 3 before the run goes on. It also mends the opposite, which runs of
earlier versions left: a last.npz that is the best epoch, and a best.npz of an older one.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from minideconv.errors import CheckpointError
from minideconv.files.atomic import replace_by_copy, write_problem
from minideconv.training.run.checkpoint import Checkpoint, read_header, save_checkpoint
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.run_progress import RunProgress

__all__ = ["best_header", "commit", "settle"]


def commit(run: RunFolder, checkpoint: Checkpoint, best: bool) -> None:
    """Make a checkpoint the run's last one and, with `best`, its best one before that.

    Raises
    ------
    CheckpointError
        If a file cannot be written.
    """
    run.sync_metrics()  # a checkpoint never counts lines that a power cut can take away
    if best:
        save_checkpoint(run.best, checkpoint)
        _copy(run, to_last=True)
    else:
        save_checkpoint(run.last, checkpoint)


def settle(run: RunFolder) -> None:
    """Finish a commit that was cut off; of other checkpoints nothing is changed."""
    last, best = _progress(run, "last"), _progress(run, "best")
    if best is not None and not run.last.exists():
        _copy(run, to_last=True)
    if last is None or _position(last) == _position(best):
        return
    same_step = best is not None and best["step"] == last["step"]
    if same_step and _position(best) == (last["epoch"] + 1, 0):
        _copy(run, to_last=True)
    elif last["epoch"] and last.get("best_epoch") == last["epoch"] and not last["epoch_step"]:
        _copy(run, to_last=False)


def best_header(run: RunFolder) -> dict[str, Any] | None:
    """Return the header of best.npz, or None if there is none that can be read."""
    try:
        found = read_header(run.best) if run.best.is_file() else {}
        progress = asdict(RunProgress.from_dict(found["progress"]))
    except (CheckpointError, AttributeError, KeyError, TypeError, ValueError):
        return None  # what is damaged is refused, by name, when it is used
    best = progress["best"]
    whole = all(isinstance(progress[name], int) for name in ("epoch", "step", "epoch_step"))
    return {**found, "progress": progress} if whole and isinstance(best, float | None) else None


def _progress(run: RunFolder, which: str) -> dict[str, Any] | None:
    path = run.last if which == "last" else run.best
    try:
        found = read_header(path).get("progress") if path.is_file() else None
    except CheckpointError:
        return None
    names = ("epoch", "step", "epoch_step")
    if isinstance(found, dict) and all(isinstance(found.get(name), int) for name in names):
        return found
    return None


def _position(progress: dict[str, Any] | None) -> tuple[int, int] | None:
    return None if progress is None else (progress["epoch"], progress["epoch_step"])


def _copy(run: RunFolder, to_last: bool) -> None:
    source, target = (run.best, run.last) if to_last else (run.last, run.best)
    try:
        replace_by_copy(target, source)
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {target} could not be written: {write_problem(error)};"
            " the previous one is unchanged"
        ) from error
