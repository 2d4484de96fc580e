"""The command `hierarchy`: layers learnt from photographs or drawings, and what they show."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.backend import as_device, describe_device, to_cpu, to_device
from minideconv.errors import UsageError
from minideconv.files.outputs import check_outputs
from minideconv.settings.machine import MachineSettings
from minideconv.settings.options import given_options
from minideconv.settings.setting import option_name
from minideconv.sparse_coding.hierarchy.contrast import prepared
from minideconv.sparse_coding.hierarchy.drawings import Drawing, drawings
from minideconv.sparse_coding.hierarchy.file import NAME, load_hierarchy
from minideconv.sparse_coding.hierarchy.junctions import Selectivity, drawing_maps, measure
from minideconv.sparse_coding.hierarchy.layer import find_maps, stamps
from minideconv.sparse_coding.hierarchy.pictures import firing_picture
from minideconv.sparse_coding.hierarchy.run import Run, write_picture
from minideconv.sparse_coding.hierarchy.settings import HierarchySettings
from minideconv.sparse_coding.hierarchy.shapes import Looks, looks
from minideconv.training.computing import computing
from minideconv.training.interrupt import Interrupted, StopRequest
from minideconv.training.run.lock import run_lock
from minideconv.training.run.progress import Progress, format_seconds, make_progress

__all__ = ["FIRING", "HELD_OUT", "held_out", "hierarchy", "in_words"]

FIRING = "firing.png"
HELD_OUT = 48
"""Drawings to measure on."""
_SKIPPED = 100
_SHOWN, _UNITS = 6, 8  # pictures and units of firing.png


def hierarchy(options: argparse.Namespace, machine_options: Mapping[str, Any]) -> int:
    """Learn, or go on learning; return the exit code."""
    machine = MachineSettings(**given_options(options, machine_options))
    given = given_options(options, HierarchySettings.settings())
    device = as_device(machine.device)
    folder = _folder(options, given)
    images = None if options.folder is None else Path(options.folder)
    with run_lock(folder), computing(device, machine.threads, machine.algorithm):
        if options.resume is not None:
            run = Run.resumed(folder, device, given, images)
        else:
            run = Run(images, HierarchySettings(**given), device)
        progress = make_progress(options.quiet)
        try:
            what = "drawings" if run.images is None else f"photographs in {run.images}"
            progress.message(
                f"{len(run.settings.all_maps)} layers of {run.settings.maps} maps from"
                f" {len(run.inputs)} {what}, on {describe_device(machine.device, device)}"
            )
            return _learn(run, folder, progress)
        finally:
            progress.close()


def _folder(options: argparse.Namespace, given: dict[str, Any]) -> Path:
    """Return the folder of the layers, which exists then."""
    if options.resume is not None:
        folder = Path(options.resume)
        if options.output is not None:
            raise UsageError(f"--resume {folder}: the layers stay there; leave --output out")
        if not (folder / NAME).is_file():
            raise UsageError(f"--resume {folder}: there is no {NAME} to go on from")
        _, settings, _ = load_hierarchy(folder, as_device("cpu"))
        for name, value in given.items():
            own = getattr(settings, name)
            if value != own and not HierarchySettings.settings()[name].resume:
                raise UsageError(
                    f"--resume {folder}: {option_name(name)} is {own} in these layers and cannot"
                    f" become {value}; start new ones for that"
                )
        return folder
    settings = HierarchySettings(**given)  # a mistake is reported before anything is made
    if options.folder is not None and not Path(options.folder).is_dir():
        raise UsageError(f"{options.folder} is no folder; name a folder of pictures")
    folder = Path(options.output or "runs/hierarchy")
    pictures = [f"layer{number}.png" for number in range(1, len(settings.all_maps) + 1)]
    paths = [folder / name for name in (NAME, FIRING, *pictures)]
    check_outputs(paths, folder, False, [], "--output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {folder}: {error.strerror}") from error
    return folder


def _learn(run: Run, folder: Path, progress: Progress) -> int:
    if run.step >= run.steps:
        raise UsageError(f"{folder} has done all of its {run.steps} steps")
    began, first, saved = time.monotonic(), run.step, -1

    def after(run: Run) -> bool:
        nonlocal saved
        count = len(run.inputs)
        if run.step % count == 0 or run.step == run.steps:
            mean = sum(run.objectives[-count:]) / len(run.objectives[-count:])
            seconds = (time.monotonic() - began) / (run.step - first) * (run.steps - run.step)
            progress.message(
                f"step {run.step}/{run.steps}  layer {len(run.layers)}  objective {mean:.3f} a"
                f" picture  left {format_seconds(seconds)}"
            )
        progress.work("learning", run.step, run.steps)
        # Asked once, here: a signal may have come during the lines above.
        stopped = stop.signal_number != 0
        if stopped or run.step == run.steps or run.step % run.settings.save_every == 0:
            run.save(folder)
            saved = run.step
        return not stopped

    with StopRequest() as stop:
        run.learn(after)
    if stop.signal_number:
        name = signal.Signals(stop.signal_number).name
        raise Interrupted(
            f"{name}: saved after step {saved}; go on by: python -m minideconv.sparse_coding"
            f" hierarchy --resume {folder}",
            stop.signal_number,
        )
    _show(run, folder, progress)
    return 0


def _show(run: Run, folder: Path, progress: Progress) -> None:
    """Write where units fire; of drawings, say how often that is at corners and junctions."""
    settings = run.settings
    projections = to_cpu(stamps(run.layers))
    points = None
    if run.images is None:
        drawn = held_out(settings, HELD_OUT)
        pictures = [one.image for one in drawn[:_SHOWN]]
        for number, maps in enumerate(drawing_maps(run.layers, drawn, settings.schedule), 1):
            projections = to_cpu(stamps(run.layers[:number]))
            seen = looks(projections)
            points = seen.vertices
            found = measure(list(maps), projections, drawn, points)
            progress.message(in_words(number, seen, found))
        # Those that look like corners or junctions stand first.
        order = np.lexsort((-np.nan_to_num(found.low), ~seen.junctions))
    else:
        pictures = run.pictures[:_SHOWN]
        inputs = to_device(prepared(pictures, run.inputs.dtype), run.device)
        maps = to_cpu(find_maps(run.layers, inputs, settings.schedule))
        order = np.argsort(-np.abs(maps).sum(axis=(0, 2, 3)), kind="stable")
    units = [int(unit) for unit in order[:_UNITS]]
    write_picture(
        folder / FIRING, firing_picture(units, projections, list(maps[:_SHOWN]), pictures, points)
    )
    progress.message(f"{folder / NAME}, {folder / FIRING}")


def held_out(settings: HierarchySettings, count: int) -> list[Drawing]:
    """Return drawings that nothing was learnt from.

    The first 100 after those are left out: the settings were chosen by what came out on some.
    """
    first = settings.drawings + _SKIPPED
    return drawings(count, settings.side, settings.seed, first=first)


def in_words(layer: int, seen: Looks, found: Selectivity) -> str:
    """Return a line about one layer."""
    alike = seen.junctions
    return (
        f"layer {layer}: the projections of {int(alike.sum())} of {len(alike)} units look like"
        f" corners or junctions; {int((alike & found.selective).sum())} of these fire there more"
        " than by chance"
    )
