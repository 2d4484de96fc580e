"""Resizing: an image is interpolated, a mask takes the nearest pixel.

Class indices are names: a mean of names would invent a third class along every border.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

__all__ = ["nearest_index", "resize_image", "resize_mask"]


@lru_cache(maxsize=64)
def nearest_index(length: int, new_length: int) -> np.ndarray:
    """For each of `new_length` pixels, the one of `length` pixels under its centre.

    Output pixel i has its centre at (i + 1/2) * length / new_length; worked out in integers.

    Examples
    --------
    >>> nearest_index(4, 6).tolist()
    [0, 1, 1, 2, 3, 3]
    """
    index: np.ndarray = ((2 * np.arange(new_length) + 1) * length) // (2 * new_length)
    index.setflags(write=False)
    return index


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 -> (*size, 3) uint8, bilinear; when shrinking, over all pixels it covers."""
    if image.shape[:2] == size:
        return image
    picture = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.array(picture)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) -> `size`, nearest: between class 3 and class 5 there is no class 4."""
    if mask.shape == size:
        return mask
    rows, columns = nearest_index(mask.shape[0], size[0]), nearest_index(mask.shape[1], size[1])
    return np.asarray(mask[rows[:, None], columns])
