"""Where units fire: a row for each, with its projection and then pictures with marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.sparse_coding.hierarchy.junctions import activity
from minideconv.sparse_coding.pictures import mosaic, to_uint8
from minideconv.visualize.boards import board

__all__ = ["firing_picture"]

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

    Notes
    -----
    A mark is where the projection's middle would be put; the stronger, the larger. What is below a
    quarter of the unit's strongest in these pictures has none.
    """
    active = [activity(m, projections, p.shape) for m, p in zip(maps, pictures, strict=True)]
    zoom = _ZOOM * max(1, 40 // projections.shape[2])
    rows = []
    for unit in units:
        strongest = max(float(one[unit].max()) for one in active) or 1.0
        row = [mosaic(projections[unit : unit + 1], zoom)]
        for picture, one in zip(pictures, active, strict=True):
            row.append(_marked(picture, one[unit] / strongest))
        rows.append(row)
    return board(rows)


def _marked(picture: npt.NDArray[Any], level: npt.NDArray[Any]) -> Image:
    """Return an enlarged picture with a square where `level` is high."""
    sheet = to_uint8(_DIM * picture[None]).repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1)
    for row, column in np.argwhere(level >= _WEAKEST):
        reach = 1 + round(2 * float(level[row, column]))
        top, left = (_ZOOM * at + _ZOOM // 2 for at in (row, column))
        rows, columns = (slice(max(at - reach, 0), at + reach + 1) for at in (top, left))
        sheet[rows, columns] = _MARK
    return sheet
