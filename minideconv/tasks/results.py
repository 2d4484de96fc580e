"""The results of a task: metrics, and its part of a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from minideconv.segmentation import ScoreMap
from minideconv.visualize.html import PictureRoom

__all__ = [
    "Details",
    "MainMetric",
    "Metrics",
    "ReportSections",
    "RunRecord",
    "format_number",
    "text_table",
]


class Metrics(Protocol):
    """Metrics of a network's outputs, kept as sums.

    Sums add up over batches, devices and processes, which exchange nothing else.
    """

    counts: np.ndarray
    """The sums: an int64 or float64 array of any shape, to which `Task.count` adds."""

    def compute(self) -> dict[str, Any]:
        """Return the metrics as plain JSON; what is not defined (0/0) is None."""
        ...


class Details(Protocol):
    """What `evaluate` finds out besides the metrics, image by image."""

    def update(self, outputs: ScoreMap, target: np.ndarray) -> None:
        """Look at an image's maps, (C, H, W) at its own size, and its target (H, W)."""
        ...

    def compute(self) -> dict[str, Any]:
        """Return what was found as plain JSON."""
        ...

    def table(self) -> str:
        """Return what was found as text."""
        ...


@dataclass(frozen=True)
class MainMetric:
    """The one metric that is in every line, and by which results are compared."""

    key: str
    """Its name among `Metrics.compute`."""
    name: str
    """What a line calls it."""
    title: str
    """What a chart calls it."""
    higher_is_better: bool = True


@dataclass(frozen=True)
class RunRecord:
    """What a run has written down, for its report."""

    pictures: Path
    """The folder of its pictures."""
    evaluation: dict[str, Any]
    """The content of evaluation.json; empty while the run goes on."""
    epochs: list[dict[str, Any]]
    """The epochs' lines of metrics.jsonl."""
    best: dict[str, Any] = field(default_factory=dict)
    """The header of checkpoints/best.npz; empty as long as there is none."""
    room: PictureRoom = field(default_factory=PictureRoom)
    """How much the page's pictures may take."""


@dataclass(frozen=True)
class ReportSections:
    """A task's part of the report, as HTML."""

    summary: str = ""
    """Below the page's title."""
    body: str = ""
    """Behind the curves."""
    style: str = ""
    """CSS of both."""


def text_table(columns: Iterable[str], rows: Sequence[tuple[str, Sequence[Any]]]) -> str:
    """Return a table of numbers, with a dash for None and NaN.

    >>> print(text_table(["train", "val"], [("error", [0.25, None])]))
             train      val
    error    0.250        -
    """
    width = max(len(title) for title, _ in rows)
    lines = [" " * width + "".join(f"{name:>9}" for name in columns)]
    for title, values in rows:
        lines.append(f"{title:<{width}}" + "".join(f"{format_number(v):>9}" for v in values))
    return "\n".join(lines)


def format_number(value: float | str | None) -> str:
    """Write a number with three places; a dash for None and NaN, and a text as it is."""
    if isinstance(value, str):
        return value
    return "-" if value is None or value != value else f"{value:.3f}"
