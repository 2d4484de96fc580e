"""The metrics of a run as an event file, for those who have TensorBoard (extra ``tensorboard``)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from minideconv.errors import DataError, TrainingError
from minideconv.files.atomic import replace_file, write_problem
from minideconv.report.event_file import event_file
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.report import read_sessions

__all__ = ["scalars", "write_events"]

_NAME = "events.out.tfevents.0.minideconv"
_FLOAT_MAX = 3.4028234e38


def write_events(run: RunFolder, folder: Path | None = None) -> Path:
    """Write metrics.jsonl as ``RUN/tensorboard/events...``; return the file.

    The file is the same whenever it is written from the same lines.

    Raises
    ------
    DataError
        If the folder holds no run, or its metrics are damaged.
    TrainingError
        If the file cannot be written.
    """
    if not run.is_run():
        raise DataError(f"{run.path}: there is no run here")
    begun, lines = _begun(run), run.read_metrics()
    try:
        content = event_file(begun, scalars(lines, begun))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{run.metrics} is damaged, or of another program") from error
    path = (run.path / "tensorboard" if folder is None else folder) / _NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise TrainingError(f"{path} could not be written: {write_problem(error)}") from error
    return path


def scalars(lines: list[dict[str, Any]], begun: float) -> Iterator[tuple[float, int, str, float]]:
    """Return (seconds, step, tag, value) for each finite number in lines of metrics.

    Tags are ``step/loss``, ``train/loss``, ``val/mean_iou``, ``val/class_iou/3``,
    ``memory/process`` and the like.
    """
    for line in lines:
        at = begun + float(line.get("elapsed") or 0.0)
        step = int(line["step"])
        groups = {name: line[name] for name in ("train", "val", "memory") if line.get(name)}
        own = ("loss", "lr", "images_per_second", "data_wait")
        kind = {"step": "step", "epoch": "epoch"}.get(line["kind"])
        if kind is not None:
            groups[kind] = {name: line[name] for name in own if name in line}
        for group, values in groups.items():
            for tag, value in _numbers(group, values):
                yield at, step, tag, value


def _numbers(tag: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _numbers(f"{tag}/{name}", one)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _numbers(f"{tag}/{place}", one)
    elif isinstance(value, int | float) and math.isfinite(value) and abs(value) <= _FLOAT_MAX:
        yield tag, float(value)


def _begun(run: RunFolder) -> float:
    """Return when the run began, by its log; 0 if that does not say so."""
    for session in read_sessions(run.log):
        try:
            return datetime.fromisoformat(session.when).timestamp()
        except (ValueError, OverflowError, OSError):
            break
    return 0.0
