"""The results as one picture in SVG: a row for each variant, a dot for each seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from minideconv.visualize.charts import nice_ticks

__all__ = ["draw"]

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP, _BOTTOM = 820, 330, 30, 24, 12, 44

_STYLE = (
    "text{font-family:sans-serif;font-size:12px;fill:#1d2733}.title{font-weight:600}"
    ".tick,.note{fill:#5b6878}.grid{stroke:#dfe5ec}.spread{stroke:#5b87b5;stroke-width:3;"
    "stroke-opacity:.45}.mean{stroke:#1d4f86;stroke-width:2.5}circle{fill:#5b87b5;fill-opacity:.75}"
    ".reference circle{fill:#c4762b}.reference .spread{stroke:#c4762b}"
    ".reference .mean{stroke:#8a4a0f}"
)


def draw(results: Mapping[str, Any]) -> str:
    """Return the picture of what `results.collect` returned.

    Dots are seeds, the upright line is their mean, the bar reaches one standard deviation to both
    sides; the rows that the others of a group are compared with have another colour.
    """
    groups = results["results"]
    values = [v for group in groups for row in group["variants"] for v in row["values"].values()]
    low, high, ticks = _axis(values)
    rows = sum(len(group["variants"]) + 1 for group in groups)
    height = _TOP + rows * _ROW + _BOTTOM

    def across(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    bottom = height - _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(results["metric"])} of each variant and seed">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for tick in ticks:
        x = across(tick)
        parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>')
        parts.append(_text(x, bottom + 16, f"{tick:g}", "tick", "middle"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(_text(middle, height - 8, results["metric"], "tick", "middle"))
    y = _TOP + _ROW / 2
    for group in groups:
        parts.append(_text(8, y + 4, group["title"], "title"))
        y += _ROW
        for index, row in enumerate(group["variants"]):
            parts.append(f'<g class="{"variant" if index else "reference"}">')
            parts.append(_text(20, y + 4, row["label"]))
            parts += _marks(row, y, across)
            parts.append("</g>")
            y += _ROW
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axis(values: list[float]) -> tuple[float, float, list[float]]:
    """Return the ends of the axis around `values`, and its ticks at round numbers."""
    least, most = (min(values), max(values)) if values else (0.0, 1.0)
    step = nice_ticks(max(most - least, 1e-3))[1]
    first, last = math.floor(least / step - 1e-9), math.ceil(most / step + 1e-9)
    return first * step, last * step, [round(k * step, 10) for k in range(first, last + 1)]


def _marks(row: Mapping[str, Any], y: float, across: Any) -> list[str]:
    parts = []
    mean, spread = row["mean"], row["spread"]
    if spread is not None:
        ends = (max(_LEFT, across(mean - spread)), min(_WIDTH, across(mean + spread)))
        parts.append(f'<path class="spread" d="M{ends[0]:.1f} {y:.1f}H{ends[1]:.1f}"/>')
    for seed, value in row["values"].items():
        hint = f"<title>seed {escape(seed)}: {value:.4f}</title>"
        parts.append(f'<circle cx="{across(value):.1f}" cy="{y:.1f}" r="3.5">{hint}</circle>')
    if mean is not None:
        parts.append(f'<path class="mean" d="M{across(mean):.1f} {y - 7:.1f}v14"/>')
    if row["diverged"]:
        words = f"diverged in {len(row['diverged'])} of {row['done']}"
        parts.append(_text(_WIDTH - _RIGHT, y + 4, words, "note", "end"))
    return parts


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    shown = f' class="{kind}"' if kind else ""
    return f'<text{shown} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
