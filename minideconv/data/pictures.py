"""The one function that turns a picture file into pixels: `read_upright`.

A camera that is held sideways stores its rows as they come and notes beside them how to turn them
(EXIF, orientation 1..8). Programs in which people draw masks show the picture turned, so the mask
is of the upright picture. Therefore training, evaluation and prediction all read pictures upright,
and masks, should one carry such a note, by the same function.

https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf, section 4.6.4, tag 274.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from minideconv.errors import DataError, UsageError

__all__ = [
    "SIDEWAYS",
    "UNREADABLE",
    "Picture",
    "picture_files",
    "read_image",
    "read_upright",
    "rgb",
]

UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for a file that is missing, damaged or no picture."""

SIDEWAYS = (5, 6, 7, 8)
"""The orientations that exchange width and height."""

_ENDINGS = (".jpg", ".jpeg", ".png")
_ORIENTATION = 274
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Picture(NamedTuple):
    """A decoded file: its pixels upright, the orientation it was stored in, its format."""

    upright: Image.Image
    orientation: int
    format: str


def read_upright(path: Path) -> Picture:
    """Decode a file and turn it as its camera noted.

    Raises
    ------
    One of UNREADABLE
        If it cannot be decoded.
    """
    with Image.open(path) as file:
        file.load()
        # Pillow itself turns a TIFF while it loads it.
        noted = 1 if file.format == "TIFF" else _orientation(file)
        turn = _TURNS.get(noted)
        upright = file.copy() if turn is None else file.transpose(turn)
        return Picture(upright, noted, file.format or "")


def _orientation(file: Image.Image) -> int:
    """Return the orientation that is noted in EXIF or XMP; 1, upright, if there is none."""
    try:
        noted = file.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged notes, of which Pillow raises many kinds; the pixels are whole
        return 1
    return noted if isinstance(noted, int) and noted in _TURNS else 1


def rgb(path: Path, picture: Image.Image) -> np.ndarray:
    """Return a decoded picture as (H, W, 3) uint8 RGB.

    Raises
    ------
    DataError
        If its pixels are numbers of more than 8 bits: Pillow would cut them off at 255.
    """
    if picture.mode == "F" or picture.mode.startswith("I"):
        raise DataError(
            f"{path} has mode {picture.mode}, grey levels of more than 8 bits; "
            "save it as an 8-bit picture"
        )
    return np.array(picture.convert("RGB"))


def read_image(path: Path) -> np.ndarray:
    """Read a photograph as (H, W, 3) uint8 RGB, upright.

    Raises
    ------
    DataError
        If the file is missing or is no picture; the message names it.
    """
    try:
        return rgb(path, read_upright(path).upright)
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder, not a picture") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not a picture that can be read") from error
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or "the picture is damaged or cut off"
        raise DataError(f"{path} cannot be read: {reason}") from error


def picture_files(folder: Path, what: str = "folder") -> list[Path]:
    """Return the JPEG and PNG files of a folder, by name.

    Parameters
    ----------
    folder : Path
    what : str
        What the sentence of an error calls it, an option for example.

    Raises
    ------
    UsageError
        If there is no such folder, or no picture is in it.
    """
    if not folder.is_dir():
        raise UsageError(f"{what} {folder}: there is no such folder")
    files = sorted(each for each in folder.iterdir() if each.suffix.lower() in _ENDINGS)
    if not files:
        raise UsageError(f"{what} {folder}: no JPEG or PNG file is in it")
    return files
