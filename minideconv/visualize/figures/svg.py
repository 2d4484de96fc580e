"""A `Picture` as SVG text: no script, no style sheet, no ids, so that many fit into one page."""

from __future__ import annotations

import base64
import math
from html import escape

from minideconv.visualize.boards import png_bytes
from minideconv.visualize.figures.alt import checked_alt
from minideconv.visualize.figures.picture import Box, Dot, Line, Mark, Picture, Pixels, Words
from minideconv.visualize.figures.style import PAPER

__all__ = ["arrow_head", "svg_text"]

_FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def svg_text(picture: Picture, alt: str) -> str:
    """Return an ``<svg>`` element, which is a whole file too.

    Parameters
    ----------
    picture : Picture
    alt : str
        What the picture shows, for readers who do not see it: see `checked_alt`.
    """
    alt = checked_alt(alt)
    size = f"{picture.width:g} {picture.height:g}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{picture.width:g}" '
        f'height="{picture.height:g}" role="img" aria-label="{escape(alt)}" '
        f'font-family="{_FONT}"><title>{escape(alt)}</title>',
        f'<rect width="{picture.width:g}" height="{picture.height:g}" fill="{PAPER}"/>',
    ]
    parts += map(_element, picture.marks)
    return "\n".join([*parts, "</svg>\n"])


def _element(mark: Mark) -> str:
    match mark:
        case Words():
            weight = ' font-weight="600"' if mark.bold else ""
            # The baseline is put by hand: not every program knows dominant-baseline.
            return (
                f'<text x="{mark.x:.1f}" y="{mark.y + 0.35 * mark.size:.1f}" '
                f'font-size="{mark.size:.4g}" fill="{mark.colour}" text-anchor="{mark.anchor}"'
                f"{weight}>{escape(mark.text)}</text>"
            )
        case Box():
            look = f' stroke-width="{mark.line:g}"'
            look += ' stroke-dasharray="4 3"' if mark.dashed else ""
            look += f' fill-opacity="{mark.opacity:g}"' if mark.opacity < 1 else ""
            return (
                f'<rect x="{mark.x:.1f}" y="{mark.y:.1f}" width="{mark.width:.1f}" '
                f'height="{mark.height:.1f}" fill="{mark.fill}" stroke="{mark.stroke}"{look}/>'
            )
        case Dot():
            return (
                f'<circle cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="{mark.radius:.1f}" '
                f'fill="{mark.fill}" stroke="{mark.stroke}" stroke-width="{mark.line:g}"/>'
            )
        case Line():
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in mark.points)
            dash = ' stroke-dasharray="4 3"' if mark.dashed else ""
            text = (
                f'<polyline points="{path}" fill="none" stroke="{mark.colour}" '
                f'stroke-width="{mark.line:g}"{dash}/>'
            )
            if mark.arrow:
                head = " ".join(f"{x:.1f},{y:.1f}" for x, y in arrow_head(mark))
                text += f'<polygon points="{head}" fill="{mark.colour}"/>'
            return text
        case Pixels():
            data = base64.b64encode(png_bytes(mark.image)).decode()
            return (
                f'<image x="{mark.x:.1f}" y="{mark.y:.1f}" width="{mark.width:.1f}" '
                f'height="{mark.height:.1f}" preserveAspectRatio="none" '
                f'style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
            )


def arrow_head(line: Line) -> list[tuple[float, float]]:
    """Return the three corners of the head at the end of a line."""
    (x0, y0), (x, y) = line.points[-2:]
    length = math.hypot(x - x0, y - y0) or 1.0
    along, size = ((x - x0) / length, (y - y0) / length), 5 + line.line
    back = x - along[0] * size * 1.5, y - along[1] * size * 1.5
    side = -along[1] * size * 0.6, along[0] * size * 0.6
    return [(x, y), (back[0] + side[0], back[1] + side[1]), (back[0] - side[0], back[1] - side[1])]
