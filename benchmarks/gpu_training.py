"""Sections `training` and `agreement`: whole runs of the program, not of its parts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.gpu_device import Row
from benchmarks.modes import BenchmarkError
from minideconv.training.config import TrainConfig
from minideconv.training.run_folder import RunFolder
from minideconv.training.session import run_session

__all__ = ["agreement", "train"]


def train(settings: dict[str, Any]) -> Iterator[Row]:
    """Train on drawn pictures with the program's own settings, then look at what it learned."""
    start = time.perf_counter()
    _, evaluation = _run({"device": "gpu", **settings})
    yield {
        "name": "train --device gpu, drawn pictures",
        "seconds": round(time.perf_counter() - start, 1),
        "mean_iou": evaluation["val"]["mean_iou"],
    }


def agreement(settings: dict[str, Any]) -> Iterator[Row]:
    """Train twice with one seed, on the CPU and on the GPU, and compare every logged loss."""
    logged = {
        device: _run({"device": device, "print_freq": 1, **settings})[0] for device in DEVICES
    }
    pairs = list(zip(*(_losses(logged[device]) for device in DEVICES), strict=True))
    if not pairs:
        raise BenchmarkError("agreement: the runs logged no losses")
    yield {
        "name": "the same run on the CPU and on the GPU",
        "losses": len(pairs),
        "first": _relative(*pairs[0]),
        "largest": max(_relative(*pair) for pair in pairs),
        "last": pairs[-1],
    }


DEVICES = ("cpu", "gpu")


def _relative(cpu: float, gpu: float) -> float:
    return float(f"{abs(cpu - gpu) / abs(cpu):.3g}")


def _run(settings: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the lines of a run's metrics and its evaluation."""
    with TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run")
        run_session(TrainConfig(quiet=True, **settings), run)
        lines = run.read_metrics()
        evaluation: dict[str, Any] = json.loads(run.evaluation.read_text())
    return lines, evaluation


def _losses(lines: list[dict[str, Any]]) -> list[float]:
    return [line["loss"] for line in lines if line["kind"] == "step"]
