"""A folder's photographs as arrays in [0, 1], grey or in colour; what cannot be used is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.data.pictures import read_image
from minideconv.errors import DataError, UsageError

__all__ = ["list_images", "random_crop", "read_photograph"]

_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def list_images(folder: Path, limit: int | None = None) -> list[Path]:
    """Return the folder's pictures by name, the first `limit` of them.

    Raises
    ------
    UsageError
        If there is no such folder.
    DataError
        If it holds no picture.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UsageError(f"{folder} {what}; name a folder of pictures")
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in _ENDINGS and p.is_file())
    if not found:
        raise DataError(f"{folder} holds no picture ({', '.join(_ENDINGS)})")
    return found[:limit]


def read_photograph(
    path: Path, color: bool, least: tuple[int, int], dtype: Any = np.float32
) -> npt.NDArray[Any]:
    """Read a picture as (C, H, W) in [0, 1]: C is 3 with `color`, else 1 (luminance).

    Raises
    ------
    DataError
        If it is missing, no picture, or smaller than `least`; the message names it.
    """
    pixels = read_image(path)
    height, width = pixels.shape[:2]
    if height < least[0] or width < least[1]:
        raise DataError(
            f"{path} has {height}x{width} pixels; it must have at least {least[0]}x{least[1]}"
        )
    image = pixels.astype(np.float64) / 255
    if not color:
        return (image @ _LUMINANCE)[None].astype(dtype)
    return np.ascontiguousarray(image.transpose(2, 0, 1), dtype)


def random_crop(image: npt.NDArray[Any], side: int, rng: np.random.Generator) -> npt.NDArray[Any]:
    """Cut a square of `side` pixels out of (C, H, W), anywhere."""
    height, width = image.shape[1:]
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    return image[:, top : top + side, left : left + side]
