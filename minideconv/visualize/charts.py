"""Line charts as SVG text: a few lines, mostly over training steps, with axes at round numbers.

They use the page's text colour (``currentColor``), so they suit light and dark pages, and need
neither a script nor a font. A line keeps its values beside its path, so that a page's script can
show the one under the pointer; a long line is thinned, so that a chart is never large.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape

from minideconv.visualize.html import Html

__all__ = ["MOST_POINTS", "Line", "line_chart", "nice_ticks", "thinned"]

_WIDTH, _HEIGHT = 380, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 34

MOST_POINTS = 400
"""Points of a line that are drawn: as many as a chart is pixels wide."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """One line of a chart: its points (x, y) in order of x, and how it is drawn."""

    name: str
    points: Points
    style: str
    """A class of the page's style sheet, such as ``train``."""
    dots: bool = False
    """Mark every point, for lines of few points."""


def nice_ticks(high: float) -> list[float]:
    """Return about five round numbers from 0 to at least `high` > 0: steps of 1, 2 or 5.

    >>> nice_ticks(0.83)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> nice_ticks(1234)
    [0.0, 500.0, 1000.0, 1500.0]
    """
    raw = high / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    digits = max(0, 1 - math.floor(math.log10(step)))
    return [round(i * step, digits) for i in range(math.ceil(high / step - 1e-9) + 1)]


def thinned(points: Points, most: int = MOST_POINTS) -> Points:
    """Return at most `most` of the points: the lowest and the highest of each stretch.

    The first and the last one stay, and so does every peak; NaN is left out.

    >>> thinned([(x, 9.0 if x == 50 else 1.0) for x in range(100)], 6)
    [(0, 1.0), (1, 1.0), (50, 9.0), (51, 1.0), (99, 1.0)]
    """
    points = [point for point in points if math.isfinite(point[1])]
    if len(points) <= most:
        return points
    inner, stretches = points[1:-1], (most - 2) // 2
    kept = {0, len(points) - 1}
    for k in range(stretches):
        start, stop = k * len(inner) // stretches, (k + 1) * len(inner) // stretches
        places = range(start + 1, stop + 1)
        kept |= {min(places, key=lambda i: points[i][1]), max(places, key=lambda i: points[i][1])}
    return [points[i] for i in sorted(kept)]


def line_chart(
    title: str,
    lines: Sequence[Line],
    marks: Sequence[tuple[float, str]] = (),
    top: float | None = None,
    x_axis: str = "step",
) -> Html:
    """Return a chart as an ``<svg>`` element.

    Parameters
    ----------
    title : str
        For screen readers, with the last value of each line; the page writes its own heading.
    lines : sequence of Line
        Lines without points are left out.
    marks : sequence of (x, text)
        Places on the x axis with a dashed line and a word, such as where a stage begins.
    top : float, optional
        Least upper end of the y axis, which starts at 0.
    x_axis : str
        What is below the x axis.
    """
    drawn = [replace(line, points=thinned(line.points)) for line in lines if line.points]
    if not drawn:
        return Html(f'<p class="empty">no points yet for {escape(title)}</p>')
    finite = [y for line in drawn for _, y in line.points]
    y_ticks = nice_ticks(max([*finite, top or 0.0, 1e-12]))
    # The x axis ends at the data, not at the next round number.
    x_high = max((x for line in drawn for x, _ in line.points), default=0.0) or 1.0
    x_ticks = [tick for tick in nice_ticks(x_high) if tick <= x_high * 1.001]
    y_high = y_ticks[-1]

    def to_pixels(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + x / x_high * (_WIDTH - _LEFT - _RIGHT)
        return across, _HEIGHT - _BOTTOM - y / y_high * (_HEIGHT - _TOP - _BOTTOM)

    said = escape(_in_words(title, drawn, x_axis))
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{said}"'
        f' data-plot="{_LEFT} {_WIDTH - _RIGHT} {_TOP} {_HEIGHT - _BOTTOM}"'
        f' data-ends="{x_high:g} {y_high:g}" data-axis="{escape(x_axis)}">'
    ]
    for tick in y_ticks:
        _, y = to_pixels(0, tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 6, y + 3.5, "end", _number(tick)))
    for tick in x_ticks:
        x, y = to_pixels(tick, 0)
        parts.append(_text(x, y + 15, "middle", _number(tick)))
    parts.append(_text(_WIDTH - _RIGHT, _HEIGHT - 4, "end", x_axis))
    for line in drawn:
        parts.extend(_draw(line, to_pixels))
    row, taken = 0, 0.0
    for at, word in marks:  # over the lines, so that the words can be read
        x, y = to_pixels(at, 0)
        parts.append(f'<path class="mark" d="M{x:.1f} {_TOP}V{y:.1f}"/>')
        row = row + 1 if x < taken else 0  # a line lower where it would meet the word before
        taken = x + 8 + 6 * len(word)
        parts.append(_text(x + 4, _TOP + 9 + 12 * row, "start", word, "word"))
    return Html("".join(parts) + "</svg>")


def _in_words(title: str, lines: Sequence[Line], x_axis: str) -> str:
    """Return what a chart shows to someone who does not see it: the last value of each line."""
    last = [
        f"{line.name} {line.points[-1][1]:.4g} at {x_axis} {line.points[-1][0]:g}"
        for line in lines
        if line.points
    ]
    return f"{title}; last {', '.join(last)}" if last else f"{title}: nothing that is finite"


def _text(x: float, y: float, anchor: str, words: str, kind: str = "tick") -> str:
    attributes = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {attributes}>{escape(words)}</text>'


def _draw(line: Line, to_pixels: Callable[[float, float], tuple[float, float]]) -> list[str]:
    points = line.points
    placed = [to_pixels(x, y) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    values = " ".join(f"{x:.10g},{y:.4g}" for x, y in points)
    about = f'data-name="{escape(line.name)}" data-values="{values}"'
    parts = [f'<polyline class="line {line.style}" points="{path}" {about}/>']
    if line.dots or len(placed) == 1:
        for (x, y), (at, value) in zip(placed, points, strict=True):
            hint = f"{line.name}: {value:.4g} at {at:g}"
            parts.append(
                f'<circle class="dot {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="2.4">'
                f"<title>{escape(hint)}</title></circle>"
            )
    return parts


def _number(value: float) -> str:
    """Write a tick: 1500 as 1.5k, 0.002 as it is, 0.00002 as 2e-05.

    >>> [_number(v) for v in (0.0, 0.2, 20.0, 1500.0, 20000.0, 0.002, 2e-5)]
    ['0', '0.2', '20', '1.5k', '20k', '0.002', '2e-05']
    """
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"
