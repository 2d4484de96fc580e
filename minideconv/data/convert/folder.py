"""The folder that a conversion makes: photographs, palette masks, lists, classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from minideconv.data.classes import Classes
from minideconv.data.convert.items import Item
from minideconv.data.pictures import Picture, read_upright, rgb
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


def read_photograph(item: Item, scratch: Path) -> Picture:
    """Return an item's photograph, upright.

    Parameters
    ----------
    item : Item
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
        picture = read_upright(path)
        rgb(path, picture.upright.crop((0, 0, 1, 1)))  # refuses some modes, and says why
    except DataError as error:
        raise DataError(str(error).replace(str(scratch), "its embedded photograph")) from error
    width, height = picture.upright.size
    if item.size is not None and item.size != (height, width):
        raise DataError(
            f"its photograph has {width}x{height} pixels, upright, but the labels are of"
            f" {item.size[1]}x{item.size[0]}"
        )
    return picture


def write_photograph(picture: Picture, folder: Path, name: str) -> None:
    """Write a photograph, byte for byte if it is a JPEG, PNG or WebP; else as a PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    suffix = _KEPT.get(picture.format)
    if suffix is None:
        Image.fromarray(rgb(Path(name), picture.upright)).save(folder / f"{name}.png")
    else:
        (folder / f"{name}{suffix}").write_bytes(picture.content)


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
