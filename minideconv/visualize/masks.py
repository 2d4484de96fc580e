"""Masks as files: palette PNGs as PASCAL VOC has them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.data.voc_colors import voc_palette
from minideconv.files.atomic import replace_file

__all__ = ["palette_png_bytes", "save_palette_png"]


def palette_png_bytes(mask: npt.NDArray[Any]) -> bytes:
    """Return labels (H, W) as VOC has them: a PNG of mode P whose pixel values are the labels."""
    from PIL import Image

    picture = Image.fromarray(np.asarray(mask, np.uint8))
    picture.putpalette(voc_palette().tobytes())
    memory = io.BytesIO()
    picture.save(memory, "PNG")
    return memory.getvalue()


def save_palette_png(path: str | Path, mask: npt.NDArray[Any]) -> None:
    """Write labels (H, W) to a file, see `palette_png_bytes`."""
    replace_file(path, palette_png_bytes(mask))
