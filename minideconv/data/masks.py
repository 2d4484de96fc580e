"""Class masks as programs write them: `read_mask`, which is certain of each label or refuses.

The class of a pixel is the *index* of a palette PNG, or the grey level of a grey one. Read are also

* colours, where each of them is exactly a class's or void's;
* grey levels that an RGB picture holds three times, and opaque pictures with an alpha channel;
* grey PNGs and TIFFs of 1, 2 and 4 bits, whose samples Pillow stretches to 0..255: of 4 bits 1
  becomes 17;
* 16 bits, where the numbers are classes, or such times 257, which is the same level of 16 bits.

Of several channels of 16 bits Pillow drops the lower 8, so that classes 0, 1, 2 become 0: refused.

Where two of these readings are possible and differ, where a program dealt the indices anew, and
where the file's format changes levels, the mask is refused: `python -m minideconv.data convert`
makes a palette PNG of it once it is known what was meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from minideconv.data.classes import VOC, Classes
from minideconv.data.label_counts import label_counts
from minideconv.data.pictures import SIDEWAYS, Picture, read_upright, rgb
from minideconv.data.voc_colors import VOID
from minideconv.errors import DataError, some

__all__ = ["read_indices", "read_mask", "refuse_other_size"]

_LOSSY = ("JPEG", "MPO", "JPEG2000", "WEBP", "AVIF")
_REMEDY = "python -m minideconv.data convert makes palette masks"
_LEVELS = ("L", "LA", "1", "I", "I;16", "I;16B", "I;16L", "I;16N")
_COLOURS = ("RGB", "RGBA", "RGBX")


def read_mask(
    path: Path,
    classes: Classes = VOC,
    numbers: Mapping[int, int] | None = None,
    white: int = VOID,
) -> np.ndarray:
    """Read a class mask: (H, W) uint8 of classes, 255 void.

    Parameters
    ----------
    path : Path
    classes : Classes
    numbers : mapping of int to int, optional
        The class, or 255, of each number that a file may hold; if left out, the numbers are the
        classes, and 255 is void.
    white : int
        What 255 stands for: void, or, where two classes are drawn black and white, class 1.

    Raises
    ------
    DataError
        If the file is missing or damaged, or its labels are none or not certain.
    """
    file = read_upright(path, every_bit=True)
    legal = {k: k for k in [*range(len(classes)), VOID]} if numbers is None else dict(numbers)
    found = _colours(path, file, classes) if file.upright.mode in _COLOURS else None
    if found is None:
        found = _numbers(path, file, legal)
        values = _values(found)
        if wrong := [value for value in values if value not in legal]:
            raise _illegal(path, found, wrong, legal)
        if file.upright.mode == "P" and numbers is None and classes.chosen:
            _check_palette(path, file, values, classes)
        if numbers is not None:
            table = np.full(max(legal) + 1, VOID, np.uint8)
            table[list(legal)] = list(legal.values())
            found = table[found]
    found = found.astype(np.uint8, copy=False)
    return found if white == VOID else np.where(found == VOID, np.uint8(white), found)


def read_indices(path: Path) -> np.ndarray:
    """Read a mask's numbers (H, W) uint8, whatever they stand for."""
    found = _numbers(path, read_upright(path, every_bit=True), {k: k for k in range(256)})
    if found.size and found.max() > 255:
        raise DataError(f"{path} holds the number {found.max()}; a mask has 0..255")
    return found.astype(np.uint8, copy=False)


def refuse_other_size(
    path: Path,
    shape: tuple[int, ...],
    other: Path,
    other_shape: tuple[int, ...],
    turned: int = 1,
) -> None:
    """Refuse a mask `path` that has not the size of `other`, which EXIF orientation `turned`."""
    if shape == other_shape:
        return
    sizes = (
        f"{path} is {shape[1]}x{shape[0]} pixels but {other} is {other_shape[1]}x{other_shape[0]}"
    )
    if turned in SIDEWAYS and shape == other_shape[::-1]:
        raise DataError(
            f"{sizes} when turned upright by its EXIF orientation {turned}; "
            "the mask fits the pixels as they are stored, "
            "so turn the mask too, or take the orientation out of the photograph"
        )
    raise DataError(f"{sizes}; the two must have one size")


def _values(numbers: np.ndarray) -> list[int]:
    if numbers.dtype == np.uint8:
        return np.flatnonzero(label_counts(numbers)).tolist()
    return np.unique(numbers).tolist()


def _illegal(
    path: Path, found: np.ndarray, wrong: list[int], legal: Mapping[int, int]
) -> DataError:
    pixels = int(np.isin(found, wrong).sum())
    classes = [value for value in legal if value != VOID]
    if classes == list(range(len(classes))):
        there = f"0..{len(classes) - 1}" if len(classes) > 1 else "0"
        there += f" and {VOID} (void)" if VOID in legal else ""
    else:
        there = some(sorted(legal), 40)
    return DataError(
        f"mask {path} holds the values {some(wrong)} in {pixels} pixels; legal are {there}"
    )


def _numbers(path: Path, file: Picture, legal: Mapping[int, int]) -> np.ndarray:
    """Return the numbers that a file holds, as they were meant."""
    mode = file.upright.mode
    if file.format in _LOSSY or file.upright.info.get("compression") == "jpeg":
        raise DataError(
            f"mask {path} is stored as {file.format}, which changes grey levels, hence"
            " classes; masks must be PNGs"
        )
    if mode == "P":
        return np.asarray(file.upright)
    if mode in _COLOURS:
        levels = _equal_channels(_opaque(path, file))
        if levels is None:
            raise DataError(f"mask {path} has mode {mode}, colours; it must hold numbers")
        return levels
    if mode not in _LEVELS:
        raise DataError(
            f"mask {path} has mode {mode}; masks must be palette PNGs (mode P) whose"
            f" index is the class; {_REMEDY}"
        )
    if mode == "LA":
        return _opaque(path, file)
    numbers = np.asarray(file.upright)
    if mode == "1":
        numbers = numbers.astype(np.uint8) * 255
    depth = file.depth or 8
    if mode == "1" or depth < 8:
        step = 255 // (2 ** (1 if mode == "1" else depth) - 1)
        return _certain(path, numbers // step, numbers, legal, 1 if mode == "1" else depth)
    if numbers.dtype != np.uint8 and not (numbers % 257).any():
        return _certain(path, numbers, numbers // 257, legal, 16)
    return numbers


def _certain(
    path: Path, stored: np.ndarray, levels: np.ndarray, legal: Mapping[int, int], depth: int
) -> np.ndarray:
    """Choose between the samples themselves and the grey levels of 8 bits that they stand for."""
    as_stored, as_levels = (set(_values(numbers)) for numbers in (stored, levels))
    if as_stored == as_levels or not as_levels <= legal.keys():
        return stored
    if not as_stored <= legal.keys():
        return levels
    # Black and white of two classes: the object is white, whichever number that is.
    if depth == 1 and legal.keys() == {0, 1, VOID}:
        return stored
    if depth == 1:
        raise DataError(
            f"mask {path} is black and white, and its white may be class 1 or {VOID} (void); give"
            f" the pixels of an object the number of its class: {_REMEDY}"
        )
    white = 2**depth - 1
    raise DataError(
        f"mask {path} is a greyscale picture of {depth} bits, whose grey level {white} means white,"
        f" 255, so its classes may be {some(sorted(as_stored))} or {some(sorted(as_levels))}; save"
        f" it with 8 bits, or as a palette PNG: {_REMEDY}"
    )


def _opaque(path: Path, file: Picture) -> np.ndarray:
    """Return levels (H, W) or colours (H, W, 3) of a picture no pixel of which is transparent."""
    if file.depth > 8:
        raise DataError(
            f"mask {path} has several channels of {file.depth} bits, of which the upper 8 alone can"
            f" be read; save it with 8 bits: {_REMEDY}"
        )
    if file.upright.mode in ("LA", "RGBA"):
        clear = int(np.count_nonzero(np.asarray(file.upright.getchannel("A")) != 255))
        if clear:
            raise DataError(
                f"mask {path} has mode {file.upright.mode}, and {clear} of its pixels are"
                " transparent: whether they are background or void is not certain; save it"
                f" without transparency: {_REMEDY}"
            )
    if file.upright.mode == "LA":
        return np.asarray(file.upright.getchannel("L"))
    return rgb(path, file.upright)


def _equal_channels(colours: np.ndarray) -> np.ndarray | None:
    red, green, blue = (colours[..., channel] for channel in range(3))
    return red if (red == green).all() and (green == blue).all() else None


# -- Colours ------------------------------------------------------------------------------------

_UNKNOWN = 256


@lru_cache(maxsize=2)
def _colour_table(classes: Classes) -> np.ndarray:
    """Return the class of each of the 2^24 colours: uint16, 256 where it is none's."""
    table = np.full(1 << 24, _UNKNOWN, np.uint16)
    for index, (red, green, blue) in enumerate(classes.colours.tolist()):
        table[(red << 16) | (green << 8) | blue] = index
    red, green, blue = classes.void
    table[(red << 16) | (green << 8) | blue] = VOID
    return table


def _colours(path: Path, file: Picture, classes: Classes) -> np.ndarray | None:
    """Return the classes of a mask in colours; None if it holds grey levels that are no colours."""
    if file.format in _LOSSY:
        raise DataError(
            f"mask {path} is stored as {file.format}, which changes colours, hence"
            " classes; masks must be PNGs"
        )
    colours = _opaque(path, file)
    codes = np.zeros(colours.shape[:2], np.uint32)
    for channel in range(3):
        codes = (codes << 8) | colours[..., channel]
    found = _colour_table(classes)[codes]
    foreign = found == _UNKNOWN
    if not foreign.any():
        return found
    if _equal_channels(colours) is not None:
        return None
    strange, counts = np.unique(codes[foreign], return_counts=True)
    most = int(strange[counts.argmax()])
    others = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
    raise DataError(
        f"mask {path} has mode {file.upright.mode}; its colours #{most:06x} ({int(counts.max())}"
        f" pixels){others} are neither a class's nor void's, so it is not certain what they mean;"
        f" give the classes their colours in a classes.txt, or a palette mask whose index is the"
        f" class: {_REMEDY}"
    )


def _check_palette(path: Path, file: Picture, used: list[int], classes: Classes) -> None:
    """Refuse a mask whose indices were dealt anew by a program that made its own palette."""
    flat = np.array(file.upright.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    owners = {tuple(colour): index for index, colour in enumerate(classes.colours.tolist())}
    owners[classes.void] = VOID
    for value in used:
        if value >= len(flat):
            continue
        owner = owners.get(tuple(flat[value].tolist()), value)
        if owner != value:
            name = "void" if owner == VOID else f"class {owner} ({classes.names[owner]})"
            raise DataError(
                f"mask {path} shows index {value} in the colour of {name};"
                " it was saved anew with a palette of its own, so its indices are not classes:"
                f" {_REMEDY}"
            )
