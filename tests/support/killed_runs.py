"""Training runs in a process that is killed, and what must hold of their folders at any moment."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stopped_runs import run

from minideconv.training.run.checkpoint import load_checkpoint, read_header
from minideconv.training.run.claim import existing_run
from minideconv.training.run.commit import best_header
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.report import report_html

KILLED = 77
"""Exit code of a child that ended itself without any cleaning up."""


def in_child(work: Callable[[], Any]) -> int:
    """Call `work` in a child process; return its process number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            work()
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    os._exit(code)


def ended(child: int) -> int:
    """Wait for a child; return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def train(folder: Path, settings: dict[str, Any]) -> None:
    """Train into a folder, or go on there, as the command does: under the folder's lock."""
    run_folder = RunFolder(folder)
    if not run_folder.last.exists() and not run_folder.best.exists():
        run_folder.keep_metrics(0)
        run(folder, settings)
        return
    with existing_run(run_folder.last):
        run(folder, settings, resume=True)


def check_consistent(folder: Path) -> None:
    """Check the promises about best.npz, last.npz and the report, whenever the run was killed."""
    run_folder = RunFolder(folder)
    epochs = {line["epoch"]: line for line in run_folder.read_metrics() if line["kind"] == "epoch"}
    for path in (run_folder.last, run_folder.best):
        if path.exists():
            load_checkpoint(path)
    best = best_header(run_folder)
    if best is not None:
        found = best["progress"]
        assert found["best_epoch"] == found["epoch"]
        validation = epochs[found["epoch"]]["val"]
        key = "mean_iou" if "mean_iou" in validation else "psnr"
        assert validation[key] == found["best"]
    if run_folder.last.exists():
        last = read_header(run_folder.last)["progress"]
        if last["best_epoch"]:
            assert best is not None, "an epoch was validated, and there is no best.npz"
            ahead = found["step"] == last["step"] and found["epoch"] == last["epoch"] + 1
            assert ahead or found["epoch"] == last["best_epoch"]
            assert ahead or found["best"] == last["best"]
    if run_folder.config.exists():
        page = report_html(run_folder)
        words = "that network is checkpoints/best"
        of_classes = best is not None and "classes" in best
        assert page.count(words) == of_classes
        assert not of_classes or f"after epoch {found['epoch']}; {words}" in page


def no_leftovers(folder: Path) -> bool:
    return not list(folder.rglob(".writing-*"))


def kill(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
