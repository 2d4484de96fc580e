"""Boards of small pictures: image, truth and prediction side by side, and activation strips.

Everything here is plain (H, W, 3) uint8 arrays; Pillow writes them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.data.resize import nearest_index, resize_image, resize_mask
from minideconv.data.voc_colors import colorize, overlay

__all__ = [
    "TITLE",
    "activation_picture",
    "board",
    "enlarged",
    "fit",
    "heat",
    "png_bytes",
    "sample_row",
    "strongest_map",
    "title",
    "titled",
]

Image = npt.NDArray[np.uint8]
_GAP = 4
_WHITE = 255
TITLE = 18
"""Height of a strip of text, in pixels."""


def fit(image: Image, side: int) -> Image:
    """Return the picture with its longer side at `side` pixels; small ones grow by whole pixels."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale > 1:
        times = max(1, int(scale))
        return image.repeat(times, axis=0).repeat(times, axis=1)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return resize_image(image, size)


def sample_row(
    image: Image,
    truth: npt.NDArray[Any],
    prediction: npt.NDArray[Any],
    side: int = 160,
    palette: npt.NDArray[np.uint8] | None = None,
) -> list[Image]:
    """Return the four pictures of one image: itself, truth, prediction, and prediction on top.

    `palette` (256, 3) has the colour of each label; VOC's if left out.
    """
    shown = fit(image, side)
    size = shown.shape[:2]
    masks = [resize_mask(np.asarray(mask, np.uint8), size) for mask in (truth, prediction)]
    colours = [colorize(mask, palette) for mask in masks]
    return [shown, *colours, overlay(shown, masks[1], palette=palette)]


def board(rows: Sequence[Sequence[Image]]) -> Image:
    """Lay rows of pictures out on white, each column as wide as its widest picture."""
    columns = max(len(row) for row in rows)
    widths = [max(row[i].shape[1] for row in rows if i < len(row)) for i in range(columns)]
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    total = sum(heights) + _GAP * (len(rows) - 1), sum(widths) + _GAP * (columns - 1)
    sheet = np.full((*total, 3), _WHITE, np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for picture, width in zip(row, widths, strict=False):
            h, w = picture.shape[:2]
            sheet[top : top + h, left : left + w] = picture
            left += width + _GAP
        top += height + _GAP
    return sheet


def activation_picture(maps: npt.NDArray[Any], side: int = 112) -> Image:
    """Draw one layer's activations (C, H, W): its most active channel, dark blue to yellow.

    The channel with the largest mean square, as a picture of `side` pixels whose squares are the
    layer's own pixels: coarse layers look coarse.
    """
    chosen = maps[strongest_map(maps)].astype(np.float64)
    low, high = float(chosen.min()), float(chosen.max())
    level = (chosen - low) / (high - low) if high > low else np.zeros_like(chosen)
    rows = np.arange(side) * chosen.shape[0] // side
    columns = np.arange(side) * chosen.shape[1] // side
    return heat(level[rows[:, None], columns])


def strongest_map(maps: npt.NDArray[Any]) -> int:
    """Return the channel with the largest mean square: (C, H, W)."""
    return int((maps.astype(np.float64) ** 2).mean(axis=(1, 2)).argmax())


# A few colours along matplotlib's "viridis" (public domain), to interpolate between: dark and light
# follow the value, so it reads the same without colour vision.
_HEAT = np.array(
    [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], np.float64
)


def heat(level: npt.NDArray[Any]) -> Image:
    """Colour values in [0, 1], dark violet to yellow: (H, W) -> (H, W, 3) uint8."""
    position = np.clip(level, 0.0, 1.0) * (len(_HEAT) - 1)
    low = np.minimum(position.astype(np.int64), len(_HEAT) - 2)
    fraction = (position - low)[..., None]
    return np.rint(_HEAT[low] * (1 - fraction) + _HEAT[low + 1] * fraction).astype(np.uint8)


def title(text: str, width: int) -> Image:
    """Return a white strip with a text in its middle, cut off where the strip ends."""
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    strip, font = Pillow.new("RGB", (width, TITLE), "white"), ImageFont.load_default()
    left, top, right, bottom = font.getbbox(text)
    corner = max(0.0, (width - left - right) / 2), (TITLE - top - bottom) / 2
    ImageDraw.Draw(strip).text(corner, text, "black", font=font)
    return np.asarray(strip)


def titled(text: str, picture: Image) -> Image:
    """Return a picture below a strip with a text."""
    return np.concatenate([title(text, picture.shape[1]), picture])


def enlarged(square: Image, side: int) -> Image:
    """Return a square picture with sides of exactly `side` pixels; small pixels stay sharp."""
    if len(square) < side:
        at = nearest_index(len(square), side)
        return square[at[:, None], at]
    return fit(square, side)


def png_bytes(picture: Image) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    from PIL import Image as Pillow

    memory = io.BytesIO()
    Pillow.fromarray(picture).save(memory, "PNG", optimize=True)
    return memory.getvalue()
