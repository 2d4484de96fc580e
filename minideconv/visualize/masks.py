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


def palette_png_bytes(
    mask: npt.NDArray[Any], palette: npt.NDArray[np.uint8] | None = None
) -> bytes:
    """Return labels (H, W) as VOC has them: a PNG of mode P whose pixel values are the labels.

    `palette` (256, 3) has the colour of each label; VOC's if left out.

    Raises
    ------
    ValueError
        If a label is not in 0..255.
    """
    from PIL import Image

    labels = np.asarray(mask)
    if labels.size and not 0 <= labels.min() <= labels.max() <= 255:
        raise ValueError(
            f"palette_png_bytes: mask holds values from {labels.min()} to {labels.max()}; a palette"
            " picture has 0..255"
        )
    picture = Image.fromarray(labels.astype(np.uint8))
    picture.putpalette((voc_palette() if palette is None else palette).tobytes())
    memory = io.BytesIO()
    picture.save(memory, "PNG")
    return memory.getvalue()


def save_palette_png(path: str | Path, mask: npt.NDArray[Any]) -> None:
    """Write labels (H, W) to a file, see `palette_png_bytes`."""
    replace_file(path, palette_png_bytes(mask))
