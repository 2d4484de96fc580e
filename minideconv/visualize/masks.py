"""Masks as files: palette PNGs as PASCAL VOC has them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from minideconv.data.voc_colors import overlay, voc_palette
from minideconv.files.atomic import replace_file

__all__ = ["palette_png_bytes", "save_palette_png", "write_overlay"]

_AT_ONCE = 1 << 16  # pixels that are laid over each other at once, as numbers of 4 bytes
_BEST = 1 << 21  # pixels up to which a picture is compressed as well as can be


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
    picture = Image.fromarray(labels.astype(np.uint8, copy=False))
    picture.putpalette((voc_palette() if palette is None else palette).tobytes())
    memory = io.BytesIO()
    picture.save(memory, "PNG")
    return memory.getvalue()


def write_overlay(
    image: npt.NDArray[np.uint8],
    mask: npt.NDArray[Any],
    file: IO[bytes],
    palette: npt.NDArray[np.uint8] | None = None,
) -> None:
    """Write the overlay of labels (H, W) on an image (H, W, 3) as a PNG; see `overlay`.

    It is made some rows at a time, and goes to the file as it is encoded.
    """
    from PIL import Image

    height, width = mask.shape
    picture = Image.new("RGB", (width, height))
    step = max(1, _AT_ONCE // width)
    for start in range(0, height, step):
        rows = slice(start, start + step)
        picture.paste(
            Image.fromarray(overlay(image[rows], mask[rows], palette=palette)), (0, start)
        )
    # Of large pictures the best compression takes minutes, and gains a tenth.
    best = height * width <= _BEST
    picture.save(file, "PNG", **({"optimize": True} if best else {"compress_level": 3}))


def save_palette_png(path: str | Path, mask: npt.NDArray[Any]) -> None:
    """Write labels (H, W) to a file, see `palette_png_bytes`."""
    replace_file(path, palette_png_bytes(mask))
