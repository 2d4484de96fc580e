"""An animation as a GIF, or as one HTML page that is played, stopped and stepped by keys."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

from minideconv.visualize.animation.frames import Frame
from minideconv.visualize.figures.raster import raster
from minideconv.visualize.figures.style import LEAST_TEXT
from minideconv.visualize.figures.svg import svg_text
from minideconv.visualize.html import Html, joined, read_templates

__all__ = ["animation_gif", "animation_page"]

_TEMPLATES = Path(__file__).with_name("page.html")
_COLOURS = 64


def animation_gif(frames: Sequence[Frame], seconds: float = 0.9) -> bytes:
    """Return an animation as a GIF file that repeats for ever.

    Parameters
    ----------
    frames : sequence of Frame
    seconds : float
        How long a frame is shown; the last one twice as long.
    """
    from PIL import Image

    # One palette for all frames, of the first and the last: colours do not flicker.
    images = [Image.fromarray(raster(frame.picture)) for frame in frames]
    both = Image.new("RGB", (images[0].width, 2 * images[0].height))
    both.paste(images[0], (0, 0))
    both.paste(images[-1], (0, images[0].height))
    palette = both.quantize(_COLOURS)
    first, *others = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    memory = io.BytesIO()
    times = [round(1000 * seconds)] * (len(images) - 1) + [round(2000 * seconds)]
    first.save(memory, "GIF", save_all=True, append_images=others, duration=times, loop=0)
    return memory.getvalue()


def animation_page(frames: Sequence[Frame], title: str) -> Html:
    """Return an animation as an HTML page: one file that refers to nothing outside itself.

    Space plays and stops it, the arrow keys step, Home and End go to the ends; there are buttons
    and a slider as well. It starts stopped, as long as nobody plays it.
    """
    templates = read_templates(_TEMPLATES)
    shown = [
        templates["frame"].fill(
            {"hidden": Html(" hidden" if number else ""), "text": frame.text,
             "picture": Html(svg_text(frame.picture, f"Step {number + 1}: {frame.text}"))}
        )
        for number, frame in enumerate(frames)
    ]  # fmt: skip
    picture = frames[0].picture
    values = {
        "title": title,
        "last": len(frames),
        "frames": joined(shown, "\n"),
        # On a narrow screen it shrinks as far as its text can be read.
        "width": round(picture.width),
        "least": math.ceil(picture.width * LEAST_TEXT / picture.smallest_text),
    }
    return templates["page"].fill(values)
