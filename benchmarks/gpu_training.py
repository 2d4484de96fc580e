"""Sections `training` and `agreement`: whole runs of the program, not of its parts.

The program draws its pictures with Pillow. Without it both sections are left out, with a note.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.gpu_device import Row
from benchmarks.modes import BenchmarkError
from minideconv.backend.algorithms import compiled, use_compiled
from minideconv.training.config import TrainConfig

__all__ = ["agreement", "train"]


def train(settings: dict[str, Any]) -> Iterator[Row]:
    """Train on drawn pictures with the program's own settings, then look at what it learned."""
    if not _can_draw():
        yield LEFT_OUT
        return
    start = time.perf_counter()
    lines, evaluation = _run({"device": "gpu", **settings})
    epochs = [line for line in lines if line["kind"] == "epoch"]
    steps = [line for line in lines if line["kind"] == "step"]
    yield {
        "name": "train --device gpu, drawn pictures",
        "seconds": round(time.perf_counter() - start, 1),
        "mean_iou": round(evaluation["val"]["mean_iou"], 4),
        "epochs_end": [line["elapsed"] for line in epochs],
        "data_wait": [line["data_wait"] for line in epochs],
        "images_per_s": steps[-1]["images_per_second"] if steps else None,
    }


def agreement(settings: dict[str, Any]) -> Iterator[Row]:
    """Train with one seed on the CPU, on the CPU with its sums in another order, and on the GPU.

    The first losses are the same to rounding. Later a rounding error somewhere moves a switch, and
    the runs part, on one device too: how far two orders of sums part on the CPU is the yardstick.

    Raises
    ------
    BenchmarkError
        If the first loss on the GPU is another one. How far runs part later varies.
    """
    if not _can_draw():
        yield LEFT_OUT
        return
    before = compiled()
    use_compiled(False)  # to compile takes longer than these runs
    try:
        runs = {
            name: _losses(_run({"print_freq": 1, "lr": 0.003, **way, **settings})[0])
            for name, way in WAYS.items()
        }
    finally:
        use_compiled(before)
    reference = runs["reference"]
    if not reference:
        raise BenchmarkError("agreement: the runs logged no losses")
    first = {name: _apart(losses[:1], reference) for name, losses in runs.items()}
    whole = {name: _apart(losses, reference) for name, losses in runs.items()}
    yield {
        "name": "the same run on the CPU and on the GPU",
        "losses": len(reference),
        "first_apart": first["gpu"],
        "most_apart": whole["gpu"],
        "most_apart_on_cpu": whole["exact"],
        "last": [reference[-1], runs["gpu"][-1]],
    }
    if not first["gpu"] <= SAME:
        raise BenchmarkError("agreement: the GPU's first loss is not that of the CPU")


WAYS = {
    "reference": {"device": "cpu", "algorithm": "reference"},
    "exact": {"device": "cpu", "algorithm": "exact"},
    "gpu": {"device": "gpu"},
}
SAME = 1e-5


def _apart(losses: list[float], others: list[float]) -> float:
    """Return the largest relative difference."""
    pairs = zip(losses, others, strict=False)
    return float(f"{max(abs(one - other) / abs(other) for one, other in pairs):.3g}")


LEFT_OUT = {"name": "left out", "because": "Pillow, with which pictures are drawn, is missing"}


def _can_draw() -> bool:
    try:
        import PIL  # noqa: F401 (whether it is there)
    except ImportError:
        return False
    return True


def _run(settings: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the lines of a run's metrics and its evaluation."""
    from minideconv.training.run.folder import RunFolder
    from minideconv.training.session import run_session

    with TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run")
        run_session(TrainConfig(quiet=True, **settings), run)
        lines = run.read_metrics()
        evaluation: dict[str, Any] = json.loads(run.evaluation.read_text())
    return lines, evaluation


def _losses(lines: list[dict[str, Any]]) -> list[float]:
    return [line["loss"] for line in lines if line["kind"] == "step"]
