"""The results as one picture in SVG: the metric over the labels, a line for each start."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from minideconv.few_labels.plan import STARTS
from minideconv.visualize.charts import nice_ticks

__all__ = ["draw"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 380, 56, 200, 18, 52
_COLOURS = {
    "random": "#6b7686",
    "autoencoder": "#2f6db5",
    "swwae": "#c4762b",
    "imagenet": "#3a8a4d",
}
_STYLE = (
    "text{font-family:sans-serif;font-size:12px;fill:#1d2733}.tick{fill:#5b6878}"
    ".grid{stroke:#dfe5ec}polyline{fill:none;stroke-width:2}.spread{stroke-width:2;opacity:.45}"
)


def draw(results: Mapping[str, Any]) -> str:
    """Return the picture of what `results.collect` returned.

    The numbers of labels stand at equal distances. Dots are seeds, lines go through their means,
    bars reach one standard deviation to both sides.
    """
    groups = results["results"]
    names = [name for name in STARTS if any(name in group["starts"] for group in groups)]
    values = [
        value
        for group in groups
        for found in group["starts"].values()
        for value in found["values"].values()
    ]
    ticks = nice_ticks(max([*values, 1e-3]))
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT

    def up(value: float) -> float:
        return bottom - value / ticks[-1] * (bottom - _TOP)

    def across(column: int, name: str) -> float:
        width = (right - _LEFT) / max(1, len(groups))
        beside = (names.index(name) - (len(names) - 1) / 2) * min(14.0, width / 6)
        return _LEFT + width * (column + 0.5) + beside

    metric = escape(results["metric"])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{metric} over the number of labelled images, for each start">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        _text(_LEFT, _TOP - 5, metric),
    ]
    for tick in ticks:
        parts.append(f'<path class="grid" d="M{_LEFT} {up(tick):.1f}H{right}"/>')
        parts.append(_text(_LEFT - 8, up(tick) + 4, f"{tick:g}", "end"))
    for column, group in enumerate(groups):
        x = _LEFT + (right - _LEFT) / len(groups) * (column + 0.5)
        parts.append(_text(x, bottom + 18, str(group["labels"]), "middle"))
    parts.append(_text((_LEFT + right) / 2, _HEIGHT - 12, "labelled images", "middle"))
    for row, name in enumerate(names):
        colour, y = _COLOURS[name], _TOP + 14 + 22 * row
        parts.append(f'<path d="M{right + 14} {y}h18" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(right + 38, y + 4, STARTS[name]))
        parts.append(f'<g stroke="{colour}" fill="{colour}">')
        means = []
        for column, group in enumerate(groups):
            found, x = group["starts"].get(name), across(column, name)
            if found is None or found["mean"] is None:
                continue
            means.append(f"{x:.1f},{up(found['mean']):.1f}")
            if found["spread"] is not None:
                ends = (up(found["mean"] - found["spread"]), up(found["mean"] + found["spread"]))
                parts.append(f'<path class="spread" d="M{x:.1f} {ends[0]:.1f}V{ends[1]:.1f}"/>')
            for seed, value in found["values"].items():
                hint = f"{STARTS[name]}, {group['labels']} labels, seed {seed}: {value:.4f}"
                parts.append(
                    f'<circle cx="{x:.1f}" cy="{up(value):.1f}" r="2.6" stroke="none">'
                    f"<title>{escape(hint)}</title></circle>"
                )
        parts.append(f'<polyline points="{" ".join(means)}"/></g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    kind = ' class="tick"' if anchor != "start" else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
