"""Resizing: an image is interpolated, a mask takes the nearest pixel.

Class indices are names: a mean of names would invent a third class along every border.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

__all__ = ["PART", "nearest_index", "resize_image", "resize_mask", "rows_first", "size_within"]


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


PART = 1 << 22
"""Pixels that are resized at once; Pillow copies what it is given."""


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 -> (*size, 3) uint8, bilinear; when shrinking, over all pixels it covers.

    An image of more than `PART` pixels goes through in parts, where that changes no pixel: see
    `rows_first`.
    """
    height, width = image.shape[:2]
    if (height, width) == size:
        return image
    in_parts = height * width > PART and height > 1 and width != size[1]
    if in_parts and rows_first((height, width), size):
        narrow = np.empty((height, size[1], 3), np.uint8)
        step = max(1, PART // width)
        for start in range(0, height, step):
            part = image[start : start + step]
            narrow[start : start + step] = resize_image(part, (len(part), size[1]))
        return resize_image(narrow, size)
    picture = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.array(picture)


def size_within(height: int, width: int, pixels: int) -> tuple[int, int]:
    """Return the size of an image, made smaller in proportion if it has more than `pixels`.

    >>> size_within(30, 40, 1200), size_within(300, 400, 1200), size_within(1, 9000, 1200)
    ((30, 40), (30, 40), (1, 1200))
    """
    scale = (pixels / (height * width)) ** 0.5
    if scale >= 1:
        return height, width
    short, long = (int(side * scale) for side in sorted((height, width)))
    if short == 0:
        short, long = 1, min(max(height, width), pixels)
    return (short, long) if height <= width else (long, short)


def rows_first(size: tuple[int, int], new_size: tuple[int, int]) -> bool:
    """Return whether Pillow resizes rows, rounds to bytes, and then resizes columns; both (H, W).

    Then each row may be resized by itself. If the height shrinks more than the width does, some of
    its versions begin with the columns.
    """
    return new_size[1] * size[0] <= new_size[0] * size[1]


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) -> `size`, nearest: between class 3 and class 5 there is no class 4."""
    if mask.shape == size:
        return mask
    rows, columns = nearest_index(mask.shape[0], size[0]), nearest_index(mask.shape[1], size[1])
    return np.asarray(mask[rows[:, None], columns])
