"""PASCAL VOC's colours, and pictures of masks in them.

Class ``i`` has the colour whose red, green and blue take the bits 0, 1, 2 (then 3, 4, 5, ...) of
``i``, the lowest bits first into the highest places: near numbers get far colours, and anybody can
compute the table. 255 (void) comes out as the well-known cream of VOC's masks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["colour_mask", "overlay", "save_palette_png", "voc_palette"]

Image = npt.NDArray[np.uint8]


def voc_palette() -> Image:
    """Return the 256 colours as a (256, 3) uint8 array.

    >>> voc_palette()[[0, 1, 2, 15, 255]].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [224, 224, 192]]
    """
    palette = np.zeros((256, 3), np.uint8)
    index = np.arange(256)
    for bit in range(8):
        channel, place = bit % 3, 7 - bit // 3
        palette[:, channel] |= ((index >> bit & 1) << place).astype(np.uint8)
    return palette


def colour_mask(mask: npt.NDArray[Any]) -> Image:
    """Paint a mask (H, W) of labels 0..255 in VOC's colours: (H, W, 3) uint8."""
    colours: Image = voc_palette()[mask]
    return colours


def overlay(image: Image, mask: npt.NDArray[Any], opacity: float = 0.6) -> Image:
    """Lay a mask over its photograph.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB.
    mask : (H, W) integer array
        Labels; background (0) and void (255) stay uncoloured.
    opacity : float in [0, 1]
        How much of the class colour covers the photograph.

    Raises
    ------
    ValueError
        If the sizes differ.
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(f"overlay: image is {image.shape[:2]} but mask is {mask.shape}")
    share = np.where((mask > 0) & (mask < 255), opacity, 0.0)[..., None]
    mixed = (1.0 - share) * image + share * colour_mask(mask)
    return np.rint(mixed).astype(np.uint8)


def save_palette_png(path: str | Path, mask: npt.NDArray[Any]) -> None:
    """Write labels as VOC does: a PNG of mode P whose pixel values are the labels."""
    from PIL import Image as PillowImage

    picture = PillowImage.fromarray(np.asarray(mask, np.uint8))
    picture.putpalette(voc_palette().tobytes())
    picture.save(path)
