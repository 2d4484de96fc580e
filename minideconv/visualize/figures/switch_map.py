"""Which pixel of each window won, and what unpooling makes of it: switches drawn on an image."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minideconv.backend import to_cpu
from minideconv.ops import max_pool2d, max_unpool2d
from minideconv.ops.geometry import IntPair, pair
from minideconv.visualize.boards import heat
from minideconv.visualize.figures.picture import Picture
from minideconv.visualize.figures.style import (
    ACCENT,
    HUES,
    INK,
    LEAST_TEXT,
    MUTED,
    PAGE_WIDTH,
    PAPER,
    mixed,
)

__all__ = ["switch_map"]

_LARGEST, _GAP, _TOP = 34.0, 22.0, 32.0


def switch_map(
    plane: npt.NDArray[Any],
    kernel_size: IntPair,
    stride: IntPair | None = None,
    *,
    duplicates: Literal["assign", "add"] = "assign",
) -> Picture:
    """Draw an image with the winner of each pooling window, the pooled map and the unpooled one.

    Winners are dots in the middle of their pixels, or circles around their numbers where pixels
    are large enough for numbers. What lost is a smaller grey number in the unpooled map.

    Parameters
    ----------
    plane : (H, W)
        One channel: of a feature map, or a photograph's brightness.
    kernel_size, stride : int or (int, int)
        As for `ops.max_pool2d`.
    duplicates : {"assign", "add"}
        As for `ops.max_unpool2d`.

    Raises
    ------
    ValueError, TypeError
        If the operations refuse the geometry.
    """
    plane = np.asarray(to_cpu(plane), float)
    pooled, switches = max_pool2d(plane[None, None], kernel_size, stride, return_switches=True)
    unpooled = max_unpool2d(pooled, switches, duplicates=duplicates)[0, 0]
    pooled = pooled[0, 0]
    columns = 2 * plane.shape[1] + pooled.shape[1]
    cell = min(_LARGEST, (PAGE_WIDTH - 2 * _GAP - 8) / columns)
    longest = max(len(f"{number:g}") for number in plane.ravel()[:4096])
    numbers = 0.6 * cell >= LEAST_TEXT and (cell - 2) / (0.6 * longest) >= LEAST_TEXT
    winners = [divmod(int(index), plane.shape[1]) for index in switches.indices.ravel()]
    rows = max(plane.shape[0], pooled.shape[0])
    texts = (("the winner of each window", plane), ("pooled", pooled), ("unpooled", unpooled))
    lefts, x = [], 4.0
    for text, array in texts:
        lefts.append(x)
        x += max(array.shape[1] * cell, 7.8 * len(text)) + _GAP
    picture = Picture(x - _GAP + 4, _TOP + rows * cell + 4)
    low, high = float(plane.min()), float(plane.max())
    for left, (text, array) in zip(lefts, texts, strict=True):
        picture.words(left, 12, text, anchor="start", bold=True)
        if numbers:
            ghosts = plane if text == "unpooled" else None
            _numbers(picture, left, array, cell, (low, high), ghosts)
        else:
            level = (array - low) / (high - low) if high > low else np.zeros_like(array)
            size = array.shape[1] * cell, array.shape[0] * cell
            picture.pixels(left, _TOP, *size, heat(level), about=text)
    _windows(picture, lefts[0], cell, plane, pooled, pair(kernel_size, "kernel_size", "switch_map"),
             stride)  # fmt: skip
    for left in (lefts[0], lefts[2]):
        for row, column in winners:
            place = left + (column + 0.5) * cell, _TOP + (row + 0.5) * cell
            about = f"winner {row},{column}"
            if numbers:
                picture.dot(*place, 0.42 * cell, stroke=HUES[0], line=2.2, about=about)
            elif left == lefts[0]:
                radius = max(1.5, 0.3 * cell)
                picture.dot(*place, radius, fill=ACCENT, stroke=PAPER, line=0.7, about=about)
    return picture


def _windows(
    picture: Picture, left: float, cell: float, plane: npt.NDArray[Any], pooled: npt.NDArray[Any],
    kernel: tuple[int, int], stride: IntPair | None,
) -> None:  # fmt: skip
    """Draw the windows, if they do not overlap."""
    step = kernel if stride is None else pair(stride, "stride", "switch_map")
    if cell < 8 or step[0] < kernel[0] or step[1] < kernel[1]:
        return
    for row, column in np.ndindex(pooled.shape):
        corner = left + column * step[1] * cell, _TOP + row * step[0] * cell
        size = kernel[1] * cell, kernel[0] * cell
        thick = 2.2 if cell >= 14 else 1.0
        picture.box(*corner, *size, stroke=INK, line=thick, about=f"window {row},{column}")


def _numbers(
    picture: Picture, left: float, array: npt.NDArray[Any], cell: float,
    limits: tuple[float, float], ghosts: npt.NDArray[Any] | None,
) -> None:  # fmt: skip
    low, high = limits
    for (row, column), value in np.ndenumerate(array):
        lost = ghosts is not None and value == 0 and ghosts[row, column] != 0
        share = 0.0 if lost or high <= low else 0.75 * np.clip((value - low) / (high - low), 0, 1)
        label = f"{ghosts[row, column]:g}" if lost and ghosts is not None else f"{value:g}"
        picture.cell(left + column * cell, _TOP + row * cell, cell, label,
                     fill=mixed(HUES[5], PAPER, float(share)), colour=MUTED if lost else "",
                     about=f"{'lost' if lost else 'value'} {row},{column}")  # fmt: skip
