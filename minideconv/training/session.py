"""One session of a run, as the command line does it: train, evaluate, report.

A notebook uses `Trainer` itself; this file adds the run folder, the output and the final metrics.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from minideconv import _version
from minideconv.backend import Device, describe_device, parallel
from minideconv.backend.algorithms import compiled, get_algorithm
from minideconv.backend.precisions import get_precision
from minideconv.distributed import Communicator, Single, check_same, connect, on_rank_zero
from minideconv.errors import MinideconvError, TrainingError, as_usage_error
from minideconv.settings.setting import option_name, refusal
from minideconv.tasks import Metrics
from minideconv.training.computing import computing
from minideconv.training.config import TrainConfig
from minideconv.training.extremes import extremes
from minideconv.training.interrupt import Interrupted
from minideconv.training.run.folder import RunFolder, write_text
from minideconv.training.run.pace import Pace
from minideconv.training.run.progress import format_seconds, make_progress
from minideconv.training.run.report import write_report
from minideconv.training.trainer import Trainer

__all__ = ["run_session"]


def run_session(
    config: TrainConfig,
    run: RunFolder,
    resume: Path | None = None,
    comm: Communicator | None = None,
    **allowed: bool,
) -> int:
    """Train (or go on training) into a run folder; return the exit code 0 or raise.

    With several processes `comm`, every one of them calls this with the same arguments. `allowed`
    are the trainer's `reschedule` and `other_data`.
    """
    pace = Pace(share=0.005)
    comm, device = connect(comm or Single(), config.device, config.communication)
    _check_same(comm, config)
    with (
        computing(device, config.threads, config.algorithm, config.precision),
        # Closed at the end, whatever happened: it leaves the terminal as it was.
        contextlib.closing(make_progress(config.quiet or comm.rank > 0)) as progress,
    ):
        trainer = Trainer(
            config,
            run,
            progress,
            after_validation=lambda trainer: _draw(trainer, pace),
            comm=comm,
            device=device,
            resume=resume,
            **allowed,
        )
        if resume is not None:
            check_same(comm, {"a checkpoint after step": trainer.progress.step})
        on_rank_zero(comm, lambda: run.create(config))
        trainer.journal.note(f"began: {shlex.join(sys.orig_argv)}")
        trainer.journal.note(_versions())
        try:
            _introduce(trainer, resume)
            _fit(trainer)
            with trainer.stop:
                _finish(trainer)
        except BaseException as error:
            with contextlib.suppress(TrainingError):  # a disk that is full may be the reason
                trainer.journal.note(_ending(error))
            trainer.journal.end("stopped")
            raise
        trainer.journal.note("ended: done")
        trainer.journal.end("done")
    return 0


def _fit(trainer: Trainer) -> None:
    """Train; an error says how to go on."""
    try:
        trainer.fit()
    except Exception as error:
        go_on = "there is no checkpoint yet; --save-every N writes one every N steps"
        if trainer.run is not None and trainer.run.last.exists():
            go_on = f"the last checkpoint stands; go on with: {trainer.resume_command()}"
        error.add_note(go_on)
        raise


def _versions() -> str:
    """Return the machine and what is installed, for whoever reads the log later."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"process {os.getpid()} on {socket.gethostname()}, {platform.platform()}, {cores} cores, "
        f"Python {platform.python_version()}, NumPy {np.__version__}, "
        f"minideconv {_version.__version__}"
    )


def _ending(error: BaseException) -> str:
    """Return how the session ended: one sentence, or the traceback of a bug."""
    error = as_usage_error(error)
    if isinstance(error, KeyboardInterrupt):
        return "ended: stopped at once, without saving"
    if isinstance(error, MemoryError):
        return f"ended: there is not enough memory: {str(error) or 'no more is given out'}"
    if isinstance(error, MinideconvError):
        return f"ended: {error.as_options or 'another process of the run failed'}"
    return "ended by a bug of this program:\n" + "".join(traceback.format_exception(error)).rstrip()


def _check_same(comm: Communicator, config: TrainConfig) -> None:
    """Refuse processes that would not compute the same thing, or cannot do so together."""
    if comm.size > 1 and config.graph == "on":
        raise refusal(
            lambda name: (
                f"{name('graph')} on is for one process, but there are {comm.size}, whose sums are "
                "not recorded; leave it out"
            )
        )
    own = ("data_root", "workers", "threads", "output_dir", "quiet")
    options = {option_name(name): v for name, v in config.to_dict().items() if name not in own}
    check_same(comm, {"minideconv": _version.__version__, "NumPy": np.__version__, **options})


def _draw(trainer: Trainer, pace: Pace) -> None:
    """Draw predictions and bring the report up to date, so that a run can be watched.

    The report is left as it is where it would take more than its share of the time.
    """
    assert trainer.run is not None
    trainer.task.draw_epoch(
        trainer.predictor(),
        trainer.val_data,
        trainer.config.images,
        trainer.progress.epoch,
        trainer.run.add_picture,
    )
    run = trainer.run
    pace.do(lambda: write_report(run))


def _introduce(trainer: Trainer, resume: Path | None) -> None:
    """Print the network, the machine and the data."""
    config, size = trainer.config, trainer.strategy.world_size
    trainer.log(
        f"minideconv {_version.__version__}: {config.model} with "
        f"{trainer.model.num_parameters():,} parameters, input "
        f"{config.input_size}x{config.input_size}, on {_machine(config.device, trainer.device)}"
        + (f", {size} processes" if size > 1 else "")
    )
    what = trainer.task.describe()
    trainer.log(
        f"data: {config.data}, {len(trainer.train_data)} training and {len(trainer.val_data)} "
        f"validation images{', ' if what else ''}{what}"
    )
    notes = [getattr(each, "note", "") for each in (trainer.train_data, trainer.val_data)]
    for line in dict.fromkeys(line for note in notes for line in note.splitlines()):
        trainer.log(line)
    if trainer.pretrained is not None:
        for line in trainer.pretrained.report.splitlines():
            trainer.log(line)
    if resume is not None:
        trainer.log(f"going on from {resume}, after step {trainer.progress.step}")
        for note in trainer.notes:
            trainer.log(note)


def _machine(name: str, device: Device) -> str:
    """Return where and how it computes."""
    if device.type != "cpu":
        return describe_device(name, device, get_precision())
    threads = parallel.get_num_threads()
    notes = [get_algorithm(), f"{threads} thread{'s' if threads > 1 else ''}"]
    if compiled() and get_algorithm() != "reference":
        notes.insert(1, "compiled kernels")
    return describe_device(name, device, *notes)


def _finish(trainer: Trainer) -> None:
    """Evaluate both sets with the final network, write evaluation.json, print the table.

    Several processes evaluate together; one writes.
    """
    run, config, task = trainer.run, trainer.config, trainer.task
    assert run is not None
    sets = {"train": (trainer.train_data, config.final_images), "val": (trainer.val_data, 0)}
    if not config.final_images:
        del sets["train"]
    results: dict[str, Any] = {**task.metadata(), "epoch": trainer.progress.epoch}
    metrics: dict[str, Metrics] = {}
    qualities: dict[int, float] = {}
    for name, (images, limit) in sets.items():
        try:
            each = qualities if name == "val" else None
            metrics[name], loss = trainer.evaluate(images, limit, each)
        except Interrupted as error:
            message = f"stopped in the final evaluation; go on with: {trainer.resume_command()}"
            raise Interrupted(message, error.signal_number) from None
        count = min(limit or len(images), len(images))
        results[name] = {"images": count, "loss": loss, **task.result(metrics[name])}
    if not trainer.writes:
        return
    drawn = {"val": trainer.val_data, "train": trainer.train_data}
    predictor = trainer.predictor()
    results |= task.draw_final(predictor, drawn, config.images, run.add_picture)
    ends = extremes(qualities, config.images)
    results |= task.draw_extremes(predictor, trainer.val_data, *ends, run.add_picture)
    write_text(run.evaluation, json.dumps(results) + "\n")
    write_report(run)
    trainer.log(task.table(metrics))
    best = task.format_metric({task.main_metric.key: trainer.progress.best})
    trainer.log(
        f"done in {format_seconds(trainer.progress.elapsed)}; best validation {best} in epoch "
        f"{trainer.progress.best_epoch}; {trainer.memory.summary()}; everything is in {run.path}"
    )
