"""Pictures of a data set: each sample as image, mask and both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from minideconv.data.pictures import read_upright
from minideconv.data.resize import resize_image, resize_mask
from minideconv.data.voc_colors import colorize, overlay
from minideconv.data.windows import cut_pair, whole_image_window
from minideconv.errors import DataError
from minideconv.files.atomic import replacing

__all__ = ["grid", "is_own", "save_png"]

_GAP, _PAPER = 4, 255
_SIGNATURE = "python -m minideconv.data show"


def grid(dataset: Any, indices: list[int], cell: int = 128, columns: int = 4) -> np.ndarray:
    """Lay out samples as image | mask | overlay, `columns` of them beside each other.

    A sample that is not square is put in a square, black and void beside it. Small samples are
    enlarged without smoothing, so that single pixels can be seen.

    Returns
    -------
    (H, W, 3) uint8.
    """
    rows = -(-len(indices) // columns)
    columns = min(columns, len(indices))
    step_x, step_y = 3 * cell + 2 + 2 * _GAP, cell + 2 * _GAP
    table = getattr(dataset, "class_table", None)
    palette = None if table is None else table.palette()
    sheet = np.full((rows * step_y, columns * step_x, 3), _PAPER, dtype=np.uint8)
    for position, index in enumerate(indices):
        y = (position // columns) * step_y + _GAP
        x = (position % columns) * step_x + _GAP
        for part, picture in enumerate(_panels(dataset[index], cell, palette)):
            left = x + part * (cell + 1)
            sheet[y : y + cell, left : left + cell] = picture
    return sheet


def _panels(
    pair: tuple[np.ndarray, np.ndarray], cell: int, palette: np.ndarray | None
) -> tuple[np.ndarray, ...]:
    image, mask = cut_pair(*pair, whole_image_window(*pair[1].shape))
    size = (cell, cell)
    if cell >= len(mask):
        # A label map is resized by taking pixels, never mixing them: here the image is as well.
        image = np.stack([resize_mask(image[..., c], size) for c in range(3)], axis=-1)
    else:
        image = resize_image(image, size)
    mask = resize_mask(mask, size)
    return image, colorize(mask, palette), overlay(image, mask, palette=palette)


def save_png(path: str | Path, picture: np.ndarray) -> None:
    """Write a PNG, completely or not at all, with the name of this program in it.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    path = Path(path)
    signed = PngInfo()
    signed.add_text("Software", _SIGNATURE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            Image.fromarray(picture).save(file, format="PNG", pnginfo=signed)
    except OSError as error:
        raise DataError(f"show: {path} cannot be written ({error})") from error


def is_own(path: Path) -> bool:
    """Whether a file is a picture that `save_png` wrote."""
    try:
        file = read_upright(path).upright
    except DataError:
        return False
    return file.info.get("Software") == _SIGNATURE
