r"""What one number of the maps puts into a small window of the picture.

Every number z_m[i, j] of a layer's maps stands for z_m[i, j] times its unit's projection, at its
place; all of them together are the reconstruction. `strongest` takes the one that puts the largest
sum of squares into a window. If it is a good part of the picture there, its cosine with the window
(`cosine`) is near 1: at a corner, that takes a projection with both arms.

The window around a straight piece of a line is the control: how much better one number of the
second layer is there than one of the first says nothing about corners.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.sparse_coding.hierarchy.drawings import Drawing
from minideconv.sparse_coding.hierarchy.junctions import MARGIN, near_places

__all__ = ["STRAIGHT", "Single", "cosine", "spots", "strongest", "window"]

STRAIGHT = "straight"
_APART = 6.0  # pixels from a straight piece to the next corner or junction
_MOST = 6  # straight pieces of a drawing
_CORE = 0.9  # the middle of a line is as dark

Place = tuple[int, int]


@dataclass(frozen=True)
class Single:
    """The number that `strongest` found: its unit, and what it puts into the window.

    Attributes
    ----------
    unit : int
        -1 if no number puts anything there.
    picture : array (2 half + 1, 2 half + 1)
    """

    unit: int
    picture: npt.NDArray[np.float64]


def window(picture: npt.NDArray[Any], place: Place, half: int) -> npt.NDArray[Any]:
    """Return the square around a pixel: (H, W) -> (2 half + 1, 2 half + 1)."""
    row, column = place
    return picture[row - half : row + half + 1, column - half : column + half + 1]


def strongest(
    maps: npt.NDArray[Any], projections: npt.NDArray[Any], place: Place, half: int
) -> Single:
    """Find the number of the maps that puts most into the window around a pixel.

    Parameters
    ----------
    maps : array (M, H + h - 1, W + w - 1)
    projections : array (M, 1, h, w)
    place : (int, int)
        Row and column.
    half : int
        The window has 2 half + 1 rows and columns.
    """
    h, w = projections.shape[2:]
    side, top, left = 2 * half + 1, place[0] - half, place[1] - half
    # z[i, j] stamps the pixels from (i - h + 1, j - w + 1) to (i, j).
    first = max(top, 0), max(left, 0)
    near = maps[:, first[0] : top + side + h - 1, first[1] : left + side + w - 1]
    best, most = Single(-1, np.zeros((side, side))), 0.0
    for unit, i, j in np.argwhere(near):
        row, column = i + first[0] - h + 1 - top, j + first[1] - w + 1 - left
        rows, columns = slice(max(row, 0), row + h), slice(max(column, 0), column + w)
        here = np.zeros((side, side))
        part = here[rows, columns]
        ends = rows.start - row + part.shape[0], columns.start - column + part.shape[1]
        stamp = projections[unit, 0, rows.start - row : ends[0], columns.start - column : ends[1]]
        part[...] = near[unit, i, j] * stamp
        energy = float((part * part).sum())
        if energy > most:
            best, most = Single(int(unit), here), energy
    return best


def cosine(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Return ``<one, other> / (|one| |other|)``; 0 where one of them is 0."""
    norm = np.sqrt(float((one * one).sum()) * float((other * other).sum()))
    return float((one * other).sum()) / norm if norm else 0.0


def spots(drawing: Drawing, rng: np.random.Generator) -> list[tuple[str, Place]]:
    """Return corners, junctions and straight pieces that are well inside: what, and where.

    Straight pieces are chosen at random: at most 6, each 6 pixels from all places at least.
    """
    size = np.array(drawing.image.shape)

    def inside(at: npt.NDArray[Any]) -> bool:
        return bool(((at >= MARGIN) & (at <= size - 1 - MARGIN)).all())

    found = [
        (kind, _pixel(at)) for at, kind in zip(drawing.places, drawing.kinds, strict=True)
        if inside(at)
    ]  # fmt: skip
    straight = np.argwhere((drawing.image > _CORE) & ~near_places(drawing, _APART))
    straight = straight[[inside(at) for at in straight]]
    chosen = rng.permutation(len(straight))[:_MOST]
    return found + [(STRAIGHT, _pixel(straight[k])) for k in chosen]


def _pixel(at: npt.NDArray[Any]) -> Place:
    row, column = np.rint(at).astype(int)
    return int(row), int(column)
