"""The one function that turns a picture file into pixels: `read_upright`.

A camera that is held sideways stores its rows as they come and notes beside them how to turn them
(EXIF, orientation 1..8). Programs in which people draw masks show the picture turned, so the mask
is of the upright picture. Therefore training, evaluation and prediction all read pictures upright,
and masks, should one carry such a note, by the same function.

https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf, section 4.6.4, tag 274.
"""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from minideconv.data.lists import IMAGE_SUFFIXES
from minideconv.data.png import png_damage, png_header
from minideconv.errors import DataError, UsageError

__all__ = [
    "SIDEWAYS",
    "UNREADABLE",
    "Picture",
    "described",
    "formats",
    "picture_bytes",
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

_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")

# Of more than 89 million pixels Pillow warns on every reading, of more than 179 million it refuses
# to decode them. The one limit is enough: photographs of 100 million pixels are made by cameras.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Notes (EXIF) that are damaged are passed over, in silence: the pixels are whole.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

SIDEWAYS = (5, 6, 7, 8)
"""The orientations that exchange width and height."""

_LARGEST_FILE = 1 << 30
_STRIP = 1 << 22
_ORIENTATION = 274
_BITS_PER_SAMPLE = 258
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@cache
def formats() -> tuple[str, ...]:
    """Return the formats that are read, whatever a file is called, for ``Image.open``.

    Not all that Pillow knows: some of them start other programs, an EPS Ghostscript.
    """
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


class Picture(NamedTuple):
    """A decoded file: its pixels upright, the orientation it was stored in, format and bytes.

    ``depth`` is the number of bits of a sample as stored, 0 where the format does not tell.
    """

    upright: Image.Image
    orientation: int
    format: str
    content: bytes
    depth: int = 0


def read_upright(path: Path, every_bit: bool = False) -> Picture:
    """Decode a file and turn it as its camera noted.

    Parameters
    ----------
    path : Path
    every_bit : bool
        Whether a changed bit would be a wrong value, as in a mask: then the checksum of a PNG's
        pixels is compared too, and not only those of its parts.

    Raises
    ------
    DataError
        If the file is missing, is no picture, is damaged or is too large; the message names it.
    """
    content = picture_bytes(path)
    if wrong := png_damage(content, every_bit):
        raise _damaged(path, wrong)
    try:
        with Image.open(io.BytesIO(content), formats=formats()) as file:
            file.load()
            # Pillow itself turns a TIFF while it loads it.
            noted = 1 if file.format == "TIFF" else _orientation(file)
            turn, depth = _TURNS.get(noted), _depth(file, content)
            upright: Image.Image = file if turn is None else file.transpose(turn)
            if upright.mode == "I" and file.format == "PNG":  # of 16 bits: Pillow before 11.0
                upright = upright.convert("I;16")
            return Picture(upright, noted, file.format or "", content, depth)
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path} is not a picture that can be read; JPEG, PNG, WebP and TIFF are read"
        ) from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise DataError(
            f"{path} has too many pixels: they are limited by the memory, and to"
            f" {2 * (Image.MAX_IMAGE_PIXELS or 0):,}"
        ) from error
    except Exception as error:  # a decoder that meets damage may raise anything
        raise _damaged(path, str(error)) from error


def _depth(file: Image.Image, content: bytes) -> int:
    """Return the bits of a sample as stored, which Pillow makes 8 of in most modes; 0: unknown."""
    if (header := png_header(content)) is not None:
        return header.depth
    bits = getattr(file, "tag_v2", {}).get(_BITS_PER_SAMPLE, (1,)) if file.format == "TIFF" else 0
    return max(bits) if isinstance(bits, tuple) else int(bits)


def _damaged(path: Path, reason: str) -> DataError:
    text = " ".join(reason.split()).rstrip(".")
    why = f" ({text})" if text else ""
    return DataError(f"{path} cannot be read: the picture is damaged or cut off{why}")


def picture_bytes(path: Path) -> bytes:
    """Return the content of a file, of which it is sure that it is one.

    Opening a pipe waits for a writer, and a device need not end.

    Raises
    ------
    DataError
        If it is missing, empty, larger than 1 GiB, no file, or may not be read.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise DataError(f"{path} is a folder, not a picture")
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{path} is a pipe or a device, not a picture")
        if found.st_size == 0:
            raise DataError(f"{path} is empty")
        if found.st_size > _LARGEST_FILE:
            raise DataError(f"{path} is larger than 1 GiB; it is no picture that can be read")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _orientation(file: Image.Image) -> int:
    """Return the orientation that is noted in EXIF or XMP; 1, upright, if there is none."""
    try:
        noted = file.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged notes, of which Pillow raises many kinds; the pixels are whole
        return 1
    return noted if isinstance(noted, int) and noted in _TURNS else 1


def described(path: Path) -> tuple[str, int]:
    """Return format and mode, "JPEG RGB", and orientation of a file; ("", 1) if it is no picture.

    Its header alone is read.
    """
    try:
        if not path.is_file():  # opening a pipe would wait for a writer
            return "", 1
        with Image.open(path, formats=formats()) as file:
            return f"{file.format} {file.mode}", _orientation(file)
    except Exception:  # a decoder that meets damage may raise anything; `read_upright` says what
        return "", 1


def rgb(path: Path, picture: Image.Image) -> np.ndarray:
    """Return a decoded picture as (H, W, 3) uint8 RGB.

    Of 16 bits a channel the upper 8 are taken: 0 is black and 65535 white, as PNG has it.

    Raises
    ------
    DataError
        If its pixels are numbers of more bits: Pillow would cut them off at 255.
    """
    if picture.mode.startswith("I;16"):
        deep = np.asarray(picture).astype(np.uint16)
        return np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if picture.mode == "F" or picture.mode.startswith("I"):
        raise DataError(
            f"{path} has mode {picture.mode}, grey levels of more than 8 bits; "
            "save it as an 8-bit picture"
        )
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    # In strips: at once, Pillow makes two more copies of all pixels on the way.
    found = np.empty((picture.height, picture.width, 3), np.uint8)
    rows = max(1, _STRIP // max(1, picture.width))
    for top in range(0, picture.height, rows):
        bottom = min(top + rows, picture.height)
        found[top:bottom] = np.asarray(picture.crop((0, top, picture.width, bottom)))
    return found


def read_image(path: Path) -> np.ndarray:
    """Read a photograph as (H, W, 3) uint8 RGB, upright.

    Raises
    ------
    DataError
        If the file is missing, is no picture, or cannot be read; the message names it.
    """
    return rgb(path, read_upright(path).upright)


def picture_files(folder: Path, what: str = "folder") -> list[Path]:
    """Return the files of a folder that are called like photographs (`IMAGE_SUFFIXES`), by name.

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
    files = sorted(each for each in folder.iterdir() if each.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise UsageError(f"{what} {folder}: no JPEG, PNG, WebP, TIFF or BMP file is in it")
    return files
