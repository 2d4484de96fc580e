"""The curves of a run: loss, the task's metric, learning rate, speed, memory."""

from __future__ import annotations

import math
import statistics
from typing import Any

from minideconv import tasks
from minideconv.visualize.charts import Line, line_chart

__all__ = ["Lines", "curves", "points_of", "throughput"]

Lines = list[dict[str, Any]]


def curves(metrics: Lines, epochs: Lines, main_metric: tasks.MainMetric) -> dict[str, str]:
    """Draw all of them over the steps; return them by their names in the page."""
    steps = [line for line in metrics if line["kind"] == "step"]
    validated = [line for line in epochs if "val" in line]
    marks, stage = [], None
    for line in metrics:
        if line["stage"] != stage and line["stage"] != "whole":
            # The line was written some steps into the stage; it begins where the last epoch ended.
            begun = max([e["step"] for e in epochs if e["stage"] == stage], default=0)
            marks.append((float(begun), f"stage {line['stage']}"))
        stage = line["stage"]

    dots = len(epochs) <= 40
    loss = line_chart(
        "loss",
        [
            Line("training steps", points_of(steps, "loss"), "train faint"),
            Line("training epochs", points_of(epochs, "train", "loss"), "train", dots),
            Line("validation", points_of(validated, "val", "loss"), "val", dots),
        ],
        marks,
    )
    metric = line_chart(
        main_metric.title,
        [
            Line("training crops", points_of(epochs, "train", main_metric.key), "train", dots),
            Line("validation", points_of(validated, "val", main_metric.key), "val", dots),
        ],
        marks,
    )
    rate = line_chart("learning rate", [Line("lr", points_of(steps, "lr"), "plain")], marks)
    speed = line_chart(
        "images a second", [Line("speed", points_of(steps, "images_per_second"), "plain")], marks
    )
    memory = line_chart("memory in GiB", _memory(epochs, dots), marks)
    return {
        **{"loss": loss, "metric": main_metric.title, "metrics": metric, "rate": rate},
        **{"speed": speed, "memory": memory},
    }


_MEMORY = {"process": "val", "device": "val", "arrays": "train"}
"""What is measured, most inclusive first, and how its line is drawn; a GPU's is in its place."""


def _memory(epochs: Lines, dots: bool) -> list[Line]:
    """Return the lines of the peaks of memory until the end of each epoch."""
    found = [(line["step"], line.get("memory")) for line in epochs]
    peaks = [(float(step), peak) for step, peak in found if isinstance(peak, dict)]
    own = "device" if any("device" in peak for _, peak in peaks) else "process"
    return [
        Line(name, [(at, peak[name] / 2**30) for at, peak in peaks if peak.get(name)], style, dots)
        for name, style in _MEMORY.items()
        if name in (own, "arrays")
    ]


def points_of(lines: Lines, *keys: str) -> list[tuple[float, float]]:
    """Return (step, value) of the lines that have a value under nested names."""
    found = []
    for line in lines:
        value: Any = line
        for key in keys:
            value = None if value is None else value.get(key)
        if value is not None:
            found.append((float(line["step"]), float(value)))
    return found


def throughput(metrics: Lines, epochs: Lines) -> str:
    """Return speed, waiting and memory in one sentence."""
    speeds = [v for _, v in points_of(metrics, "images_per_second") if math.isfinite(v)]
    waits = [v for _, v in points_of(epochs, "data_wait") if math.isfinite(v)]
    peaks = [
        value
        for line in epochs
        for name, value in (line.get("memory") or {}).items()
        if value and math.isfinite(value) and name != "arrays"
    ]
    parts = []
    if speeds:
        parts.append(f"{statistics.median(speeds):,.1f} images a second (median)")
    if waits:
        parts.append(f"waited {statistics.mean(waits):.1%} of the time for data")
    if peaks:
        parts.append(f"at most {max(peaks) / 2**30:.2f} GiB of memory")
    return " · ".join(parts)
