"""The command `learn`: a folder of photographs becomes a dictionary and its picture."""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minideconv.backend import as_device, describe_device
from minideconv.errors import UsageError
from minideconv.files.outputs import check_outputs, refuse_same_folder
from minideconv.settings.machine import MachineSettings
from minideconv.settings.options import given_options
from minideconv.settings.setting import option_name
from minideconv.sparse_coding.dictionary_file import NAME, load_dictionary, settings_of
from minideconv.sparse_coding.learn import PICTURE, STATE, Run
from minideconv.sparse_coding.orientation import oriented
from minideconv.sparse_coding.settings import LearnSettings
from minideconv.training.computing import computing
from minideconv.training.interrupt import Interrupted, StopRequest
from minideconv.training.run.lock import run_lock
from minideconv.training.run.progress import Progress, format_seconds, make_progress

__all__ = ["learn"]

_LOOK_EVERY = 10  # steps between two lines


def learn(options: argparse.Namespace, machine_options: Mapping[str, Any]) -> int:
    """Learn, or go on learning; return the exit code."""
    machine = MachineSettings(**given_options(options, machine_options))
    given = given_options(options, LearnSettings.settings())
    device = as_device(machine.device)
    folder = _folder(options, given)
    with run_lock(folder), computing(device, machine.threads, machine.algorithm):
        if options.resume is not None:
            images = None if options.folder is None else Path(options.folder)
            run = Run.resumed(folder, device, given, images)
        else:
            run = Run(Path(options.folder), LearnSettings(**given), device)
        progress = make_progress(options.quiet)
        try:
            progress.message(
                f"{run.settings.filters} filters of {run.settings.filter_size}x"
                f"{run.settings.filter_size} from {len(run.names)} photographs in {run.images}, on"
                f" {describe_device(machine.device, device)}"
            )
            return _learn(run, folder, progress)
        finally:
            progress.close()


def _folder(options: argparse.Namespace, given: dict[str, Any]) -> Path:
    """Return the folder of the dictionary, which exists then."""
    if options.resume is not None:
        folder = Path(options.resume)
        if options.output is not None:
            raise UsageError(f"--resume {folder}: the dictionary stays there; leave --output out")
        if not (folder / STATE).is_file():
            raise UsageError(f"--resume {folder}: there is no {STATE} to go on from")
        settings = settings_of(folder / STATE, load_dictionary(folder / STATE))
        for name, value in given.items():
            own = getattr(settings, name)
            if value != own and not LearnSettings.settings()[name].resume:
                raise UsageError(
                    f"--resume {folder}: {option_name(name)} is {own} in this dictionary and"
                    f" cannot become {value}; start a new one for that"
                )
        return folder
    if options.folder is None:
        raise UsageError("name a folder of photographs, or --resume DIR")
    LearnSettings(**given)  # a mistake is reported before anything is made
    if not Path(options.folder).is_dir():
        raise UsageError(f"{options.folder} is no folder; name a folder of pictures")
    folder = Path(options.output or "runs/dictionary")
    refuse_same_folder("--output", folder, {"FOLDER": options.folder})
    outputs = [folder / name for name in (NAME, PICTURE, STATE)]
    if os.path.lexists(folder / STATE):
        raise UsageError(
            f"--output {folder} holds a dictionary already; go on with it by --resume {folder}, or"
            " choose another --output"
        )
    check_outputs(outputs, folder, None, [], "--output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {folder}: {error.strerror}") from error
    return folder


def _learn(run: Run, folder: Path, progress: Progress) -> int:
    began, first, steps = time.monotonic(), run.step, run.settings.steps
    if run.step >= steps:
        raise UsageError(
            f"--steps is {steps}, and {folder} has done {run.step} steps; give a larger number"
        )
    saved = -1

    def after(run: Run) -> bool:
        nonlocal saved
        last = run.step == steps or stop.signal_number != 0
        if last or run.step % _LOOK_EVERY == 0:
            value = run.look() / run.pixels
            seconds = (time.monotonic() - began) / (run.step - first) * (steps - run.step)
            progress.message(
                f"step {run.step}/{steps}  objective {value:.6f} a pixel"
                f"  oriented {int(oriented(run.filters).sum())}  left {format_seconds(seconds)}"
            )
        progress.work("learning", run.step, steps)
        # Asked once, here: a signal may have come during the lines above.
        stopped = stop.signal_number != 0
        if stopped or run.step == steps or run.step % run.settings.save_every == 0:
            run.save(folder)
            saved = run.step
        return not stopped

    with StopRequest() as stop:
        run.learn(steps, after)
    if stop.signal_number:
        name = signal.Signals(stop.signal_number).name
        raise Interrupted(
            f"{name}: saved after step {saved}; go on by: python -m minideconv.sparse_coding learn"
            f" --resume {folder}",
            stop.signal_number,
        )
    count = int(oriented(run.filters).sum())
    progress.message(
        f"{folder / NAME}, {folder / PICTURE}: {count} of {len(run.filters)} filters are more"
        " oriented than 95 % of random ones"
    )
    return 0
