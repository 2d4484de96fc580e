"""A `Picture` as an image, drawn by Pillow: for PNG files and for the frames of animations."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.visualize.figures.picture import Box, Dot, Line, Mark, Picture, Pixels, Words
from minideconv.visualize.figures.style import PAPER
from minideconv.visualize.figures.svg import arrow_head

__all__ = ["raster"]

# Signs that Pillow's own font lacks.
_PLAIN = str.maketrans({"×": "x", "−": "-", "·": "*", "→": ">", "ᵀ": "T", "…": "..."})
_FINER = 2  # lines are smooth because everything is drawn so many times larger


def raster(picture: Picture, scale: float = 1) -> npt.NDArray[np.uint8]:
    """Return a picture as an image (height * scale, width * scale, 3) uint8."""
    from PIL import Image, ImageDraw

    times = scale * _FINER
    size = round(picture.width * scale), round(picture.height * scale)
    drawn = Image.new("RGB", (size[0] * _FINER, size[1] * _FINER), PAPER)
    draw = ImageDraw.Draw(drawn, "RGBA")
    for mark in picture.marks:
        _draw(drawn, draw, mark, times)
    return np.asarray(drawn.resize(size, Image.Resampling.BOX))


@lru_cache(maxsize=64)
def _font(size: float) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _draw(drawn: Any, draw: Any, mark: Mark, times: float) -> None:
    match mark:
        case Box():
            corners = _scaled([mark.x, mark.y, mark.x + mark.width, mark.y + mark.height], times)
            if mark.fill != "none":
                alpha = f"{round(255 * mark.opacity):02x}"
                draw.rectangle(corners, fill=mark.fill + alpha)
            if mark.stroke != "none":
                left, top, right, bottom = corners
                ring = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
                _strokes(draw, ring, mark.stroke, mark.line * times, mark.dashed, times)
        case Words():
            anchor = {"start": "lm", "middle": "mm", "end": "rm"}[mark.anchor]
            place = mark.x * times, mark.y * times
            heavy = {"stroke_width": times * 0.2} if mark.bold else {}
            text = mark.text.translate(_PLAIN)
            draw.text(
                place, text, mark.colour, font=_font(mark.size * times), anchor=anchor, **heavy
            )
        case Line():
            points = [(x * times, y * times) for x, y in mark.points]
            _strokes(draw, points, mark.colour, mark.line * times, mark.dashed, times)
            if mark.arrow:
                draw.polygon([(x * times, y * times) for x, y in arrow_head(mark)], mark.colour)
        case Dot():
            r = mark.radius
            box = _scaled([mark.x - r, mark.y - r, mark.x + r, mark.y + r], times)
            fill = None if mark.fill == "none" else mark.fill
            draw.ellipse(box, fill=fill, outline=mark.stroke, width=round(mark.line * times))
        case Pixels():
            from PIL import Image

            size = max(1, round(mark.width * times)), max(1, round(mark.height * times))
            shown = Image.fromarray(mark.image).resize(size, Image.Resampling.NEAREST)
            drawn.paste(shown, (round(mark.x * times), round(mark.y * times)))


def _scaled(lengths: list[float], times: float) -> list[float]:
    return [length * times for length in lengths]


def _strokes(
    draw: Any, points: list[tuple[float, float]], colour: str, line: float, dashed: bool,
    times: float,
) -> None:  # fmt: skip
    width = max(1, round(line))
    if not dashed:
        draw.line(points, colour, width, joint="curve")
        return
    dash, gap = 4 * times, 3 * times
    for (x0, y0), (x1, y1) in pairwise(points):
        length = float(np.hypot(x1 - x0, y1 - y0))
        for start in np.arange(0, length, dash + gap):
            ends = [min(1.0, each / length) for each in (start, start + dash)]
            draw.line([(x0 + t * (x1 - x0), y0 + t * (y1 - y0)) for t in ends], colour, width)
