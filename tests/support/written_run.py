"""A finished run's folder, written by hand, with everything that a report shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.segmentation import ConfusionMatrix
from minideconv.training.config import TrainConfig
from minideconv.training.run.checkpoint import Checkpoint, save_checkpoint
from minideconv.training.run.folder import RunFolder
from minideconv.visualize.boards import png_bytes
from minideconv.visualize.layer_strips import strip_png

LOG = """\
2026-11-23 10:00:00+00:00: began: python -m minideconv.train --lr 0.25
2026-11-23 10:00:01+00:00: process 7 on host, Linux, 2 cores, Python 3.11, NumPy 2.4, minideconv 0.1
minideconv 0.1: deconvnet with 3 parameters, input 48x48, on cpu (fast, 2 threads)
2026-11-23 10:02:00+00:00: ended: done
"""


def epoch_line(epoch: int, values: list[float | None], **more: Any) -> dict[str, Any]:
    """Return an epoch's line with these IoUs of the classes."""
    known = [value for value in values if value is not None]
    val = {
        **{"loss": 1.0 / epoch, "mean_iou": sum(known) / len(known), "class_iou": values},
        **{"pixel_accuracy": 0.5, "mean_accuracy": 0.5, "frequency_weighted_iou": 0.5},
    }
    return {
        **{"kind": "epoch", "step": 10 * epoch, "epoch": epoch, "stage": "whole", "lr": 0.1},
        **{"elapsed": 60.0 * epoch, "data_wait": 0.01, "memory": {"process": 1 << 30}},
        **{"train": {"loss": 2.0, "mean_iou": 0.2}, "val": val, **more},
    }


def step_line(step: int, **more: Any) -> dict[str, Any]:
    return {
        **{"kind": "step", "step": step, "epoch": 1 + (step - 1) // 10, "stage": "whole"},
        **{"loss": 3.0 / step, "lr": 0.1, "images_per_second": 50.0, "elapsed": 6.0 * step},
        **more,
    }


def write_run(
    path: Path,
    classes: list[str],
    epochs: int = 3,
    planned: int | None = None,
    finished: bool = True,
    **settings: Any,
) -> RunFolder:
    """Write the folder; with ``finished=False`` as it is after so many epochs."""
    run, rng = RunFolder(path), np.random.default_rng(0)
    run.create(TrainConfig(epochs=planned or epochs, output_dir=str(path), **settings))
    run.log.write_text(LOG)
    for epoch in range(1, epochs + 1):
        run.add_metrics(step_line(10 * epoch - 5))
        run.add_metrics(epoch_line(epoch, [0.1 * epoch] * len(classes)))
    best = {"epoch": epochs, "step": 10 * epochs, "best": 0.1 * epochs, "best_epoch": epochs}
    save_checkpoint(run.best, Checkpoint({}, {"progress": best, "classes": classes}))
    if not finished:
        return run
    confusion = ConfusionMatrix(len(classes))
    confusion.counts += rng.integers(0, 100, confusion.counts.shape)
    found = {"images": 7, "loss": 1.0, "confusion": confusion.counts.tolist()}
    entry = {"file": "worst_0", "name": "shapes-3", "mean_iou": 0.125}
    results = {
        **{"classes": classes, "epoch": epochs, "val": {**found, **confusion.compute()}},
        "extremes": {"worst": [entry], "best": [{**entry, "file": "best_0", "mean_iou": 0.9}]},
    }
    for kind in ("worst", "best"):
        for name in ("image", "truth", "prediction", "difference"):
            (run.pictures / f"{kind}_0_{name}.png").write_bytes(_picture(rng))
    listed = []
    for number in range(2):
        layers = []
        for place, size in enumerate((3, 6, 12)):
            maps, png = strip_png(rng.normal(size=(8, size, size)))
            file = f"layers_{number}_{place:02d}.png"
            (run.pictures / file).write_bytes(png)
            sizes = {"channels": 8, "height": size, "width": size}
            layers.append({"file": file, "name": f"deconv{place}", "maps": maps, **sizes})
        files = {kind: f"layers_{number}_{kind}.png" for kind in ("image", "truth", "prediction")}
        for file in files.values():
            (run.pictures / file).write_bytes(_picture(rng))
        listed.append({"name": f"image {number}", **files, "layers": layers})
    (run.pictures / "layers.json").write_text(json.dumps(listed))
    run.evaluation.write_text(json.dumps(results))
    return run


def _picture(rng: np.random.Generator) -> bytes:
    return png_bytes(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
