"""Where units fire, and what they show at known corners, as boards of small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.sparse_coding.hierarchy.junctions import activity
from minideconv.sparse_coding.pictures import mosaic, to_uint8
from minideconv.visualize.boards import board

__all__ = ["corners_picture", "firing_picture", "units_picture"]

Image = npt.NDArray[np.uint8]
_ZOOM = 3
_DIM = 0.6  # pictures are darker than the marks on them
_MARK = np.array([255, 205, 0])
_WEAKEST = 0.25  # of the strongest in the picture: what is below has no mark


def firing_picture(
    units: Sequence[int],
    projections: npt.NDArray[Any],
    maps: Sequence[npt.NDArray[Any]],
    pictures: Sequence[npt.NDArray[Any]],
    points: npt.NDArray[np.int64] | None = None,
) -> Image:
    """Return a board: a row for each unit, its projection first, then where it fires.

    Parameters
    ----------
    units : sequence of int
    projections : array (M, 1, h, w)
        Projections of all units.
    maps : sequence of array (M, H + h - 1, W + w - 1)
        Of each picture.
    pictures : sequence of array (H, W)
        In [0, 1].
    points : array (M, 2), optional
        What point of a unit's projection its place is; left out: the middle.

    Notes
    -----
    A mark is at a unit's place; the stronger, the larger. What is below a
    quarter of the unit's strongest in these pictures has none.
    """
    active = [
        activity(m, projections, p.shape, points) for m, p in zip(maps, pictures, strict=True)
    ]
    zoom = _ZOOM * max(1, 40 // projections.shape[2])
    rows = []
    for unit in units:
        strongest = max(float(one[unit].max()) for one in active) or 1.0
        row = [mosaic(projections[unit : unit + 1], zoom)]
        for picture, one in zip(pictures, active, strict=True):
            row.append(_marked(picture, one[unit] / strongest))
        rows.append(row)
    return board(rows)


def corners_picture(
    picture: Sequence[npt.NDArray[Any]], shown: Sequence[Sequence[npt.NDArray[Any]]]
) -> Image:
    """Return a board of windows: a row of the pictures, then one of what each layer puts there.

    Parameters
    ----------
    picture : sequence of array (n, n)
        Windows of pictures, relative to their neighbourhood.
    shown : sequence of sequence of array (n, n)
        For each layer, the same windows of what it puts there.

    Notes
    -----
    Every window has its own contrast.
    """
    return board([[_window(one) for one in row] for row in (picture, *shown)])


def units_picture(
    units: Sequence[int],
    projections: npt.NDArray[Any],
    maps: Sequence[npt.NDArray[Any]],
    pictures: Sequence[npt.NDArray[Any]],
) -> Image:
    """Return a board: units' projections, and below each the picture where it fires most strongly.

    Units that do not fire are left out.

    Parameters
    ----------
    units, projections, maps
        As of `firing_picture`.
    pictures : sequence of array (H, W)
        Relative to their neighbourhood.

    Raises
    ------
    ValueError
        If none of them fires.
    """
    h, w = projections.shape[2:]
    above, below = [], []
    for unit in units:
        # Only where the whole projection is inside of the picture.
        levels = [
            np.abs(one[unit, h - 1 : one.shape[1] - h + 1, w - 1 : one.shape[2] - w + 1])
            for one in maps
        ]
        which = int(np.argmax([one.max() for one in levels]))
        if not levels[which].any():
            continue
        row, column = np.unravel_index(levels[which].argmax(), levels[which].shape)
        cut = pictures[which][row : row + h, column : column + w]
        sign = np.sign(maps[which][unit, row + h - 1, column + w - 1]) or 1.0
        stamp = sign * projections[unit, 0]
        above.append(_window(stamp))
        below.append(_window(cut))
    if not above:
        raise ValueError("units_picture: none of the units fires in these pictures")
    return board([above, below])


def _window(picture: npt.NDArray[Any]) -> Image:
    """Return an enlarged window: grey is 0, white the largest absolute value."""
    zoom, largest = 2 * _ZOOM, float(np.abs(picture).max()) or 1.0
    return to_uint8(0.5 + 0.5 * picture[None] / largest).repeat(zoom, axis=0).repeat(zoom, axis=1)


def _marked(picture: npt.NDArray[Any], level: npt.NDArray[Any]) -> Image:
    """Return an enlarged picture with a square where `level` is high."""
    sheet = to_uint8(_DIM * picture[None]).repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1)
    for row, column in np.argwhere(level >= _WEAKEST):
        reach = 1 + round(2 * float(level[row, column]))
        top, left = (_ZOOM * at + _ZOOM // 2 for at in (row, column))
        rows, columns = (slice(max(at - reach, 0), at + reach + 1) for at in (top, left))
        sheet[rows, columns] = _MARK
    return sheet
