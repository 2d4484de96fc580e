"""Masks as files: palette PNGs as PASCAL VOC has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.data.voc_colors import voc_palette
from minideconv.files.atomic import replacing

__all__ = ["save_palette_png"]


def save_palette_png(path: str | Path, mask: npt.NDArray[Any]) -> None:
    """Write labels (H, W) as VOC does: a PNG of mode P whose pixel values are the labels."""
    from PIL import Image

    picture = Image.fromarray(np.asarray(mask, np.uint8))
    picture.putpalette(voc_palette().tobytes())
    with replacing(path) as file:
        picture.save(file, "PNG")
