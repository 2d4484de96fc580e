"""The folder that a conversion makes: photographs, palette masks, lists, classes."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from minideconv.data.classes import Classes
from minideconv.data.convert.items import Item
from minideconv.data.pictures import read_image
from minideconv.errors import DataError

__all__ = ["plain_name", "read_photograph", "write_lists", "write_mask", "write_photograph"]

_KEPT = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp"}
_LONGEST = 200


def plain_name(name: str) -> str:
    """Return a photograph's name in the lists: letters of any script, digits, ``-`` and ``_``.

    Image lists have columns, programs cut suffixes off, folders are not nested here.

    Raises
    ------
    DataError
        If it is too long for a file's name.

    Examples
    --------
    >>> plain_name("day 2/IMG.0001 (copy)")
    'day_2_IMG_0001_copy_'
    """
    plain = re.sub(r"[^\w-]+", "_", unicodedata.normalize("NFC", name))
    if len(plain.encode()) > _LONGEST:
        raise DataError(f"its name has more than {_LONGEST} bytes; make it shorter")
    return plain


def read_photograph(item: Item, scratch: Path) -> tuple[Path, np.ndarray]:
    """Return an item's file, and its pixels (H, W, 3) uint8 upright.

    Parameters
    ----------
    scratch : Path
        The file to write embedded bytes to.

    Raises
    ------
    DataError
        If it is no photograph that can be used.
    """
    path = item.photograph
    if not isinstance(path, Path):
        scratch.write_bytes(path())
        path = scratch
    try:
        pixels = read_image(path)
    except DataError as error:
        raise DataError(str(error).replace(str(scratch), "its embedded photograph")) from error
    if item.size is not None and item.size != pixels.shape[:2]:
        raise DataError(
            f"its photograph has {pixels.shape[1]}x{pixels.shape[0]} pixels, upright, but the"
            f" labels are of {item.size[1]}x{item.size[0]}"
        )
    return path, pixels


def write_photograph(path: Path, pixels: np.ndarray, folder: Path, name: str) -> None:
    """Copy a photograph, byte for byte if it is a JPEG, PNG or WebP; else write it as a PNG."""
    with Image.open(path) as file:
        suffix = _KEPT.get(file.format or "")
    folder.mkdir(parents=True, exist_ok=True)
    if suffix is None:
        Image.fromarray(pixels).save(folder / f"{name}.png")
    else:
        shutil.copyfile(path, folder / f"{name}{suffix}")


def write_mask(mask: np.ndarray, classes: Classes, folder: Path, name: str) -> None:
    """Write a mask as a palette PNG in the classes' colours."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(mask)
    picture.putpalette(classes.palette().tobytes())
    picture.save(folder / f"{name}.png")


def write_lists(lists: Mapping[str, Sequence[str]], classes: Classes, root: Path) -> None:
    """Write the image lists, trainval too, and classes.txt."""
    folder = root / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True)
    both = sorted({*lists.get("train", ()), *lists.get("val", ())})
    for split, names in {**lists, "trainval": both}.items():
        text = "".join(f"{name}\n" for name in names)
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")
    (root / "classes.txt").write_text(classes.text(), encoding="utf-8")
