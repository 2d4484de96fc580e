"""Pictures of sparse coding: filters as a mosaic, maps, and images beside each other; PNG's bytes.

All are (H, W, 3) uint8 arrays.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.visualize.boards import board, heat

__all__ = ["map_picture", "mosaic", "to_uint8"]

Image = npt.NDArray[np.uint8]
_ZOOM = 6  # pixels for one of a filter


def to_uint8(image: npt.NDArray[Any]) -> Image:
    """Return an image (C, H, W) with values in [0, 1], cut off there, as (H, W, 3) uint8."""
    levels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    if len(levels) == 1:
        levels = levels.repeat(3, axis=0)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def mosaic(filters: npt.NDArray[Any], zoom: int = _ZOOM) -> Image:
    """Lay filters (M, C, kh, kw) out in rows, in their order.

    Grey is 0; each filter has its own contrast. Filters of other than 1 or 3 channels are shown by
    their sum over channels.
    """
    if filters.shape[1] not in (1, 3):
        filters = filters.sum(axis=1, keepdims=True)
    tiles = []
    for one in filters:
        largest = float(np.abs(one).max()) or 1.0
        tile = to_uint8(0.5 + 0.5 * one / largest)
        tiles.append(tile.repeat(zoom, axis=0).repeat(zoom, axis=1))
    columns = ceil(sqrt(len(tiles)))
    return board([tiles[i : i + columns] for i in range(0, len(tiles), columns)])


def map_picture(maps: npt.NDArray[Any]) -> Image:
    """Draw how active all maps (M, H, W) together are at each pixel: dark violet to yellow.

    The sum of absolute values, to the power 1/2 so that weak ones are seen, by its largest.
    """
    activity = np.sqrt(np.abs(maps).sum(axis=0))
    return heat(activity / (float(activity.max()) or 1.0))
