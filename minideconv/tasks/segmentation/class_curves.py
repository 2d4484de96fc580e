"""Small curves of each class's IoU over the validations of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minideconv.visualize.html import Html

__all__ = ["Curve", "class_curves", "spark"]

Curve = list[tuple[int, float | None]]
"""(epoch, IoU) of one class; None where it is not defined."""

_WIDTH, _HEIGHT, _EDGE = 160, 46, 3


def class_curves(validated: Sequence[dict[str, Any]], classes: int) -> list[Curve]:
    """Return the curve of each class from the epochs' lines of metrics.jsonl.

    Lines without one value for each class, as other versions may have written, are left out.
    """
    lines = [line for line in validated if len(line["val"].get("class_iou", [])) == classes]
    return [
        [(line["epoch"], line["val"]["class_iou"][index]) for line in lines]
        for index in range(classes)
    ]


def spark(curve: Curve, first: int, last: int, top: float) -> Html:
    """Return a curve as an ``<svg>`` element from `first` to `last` epoch, and from 0 to `top`.

    Where the value is not defined the line is interrupted.
    """
    across, down = (_WIDTH - 2 * _EDGE) / max(1, last - first), (_HEIGHT - 2 * _EDGE) / top
    runs: list[list[str]] = [[]]
    for epoch, value in curve:
        if value is None:
            runs.append([])
        else:
            x, y = _EDGE + across * (epoch - first), _HEIGHT - _EDGE - down * value
            runs[-1].append(f"{x:.1f},{y:.1f}")
    parts = ""
    for run in filter(None, runs):
        if len(run) == 1:
            at, height = run[0].split(",")
            parts += f'<circle cx="{at}" cy="{height}" r="2" fill="currentColor"/>'
        else:
            parts += (
                f'<polyline points="{" ".join(run)}" fill="none" stroke="currentColor"'
                ' stroke-width="1.5" vector-effect="non-scaling-stroke"/>'
            )
    size = f"0 0 {_WIDTH} {_HEIGHT}"
    return Html(
        f'<svg viewBox="{size}" preserveAspectRatio="none" aria-hidden="true">{parts}</svg>'
    )
