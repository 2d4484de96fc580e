"""The files of a folder in VOCdevkit's layout: photographs, class masks, and all that is wrong.

The class is the *index* of a palette PNG or the grey level of an 8-bit one. Some programs save the
colours instead, number the indices anew, or write files of another depth; whatever would be read as
other labels than were meant is refused here, with the file's name.

A binary mask saved as 0 and 255 is legal pixel by pixel: background and void. But where no mask
shows a class, there is nothing to learn, void pixels are left out of loss and metrics, and a
network that finds "background" everywhere has a mean IoU of 1: see `check_objects`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minideconv.data.pictures import SIDEWAYS, UNREADABLE, Picture, read_upright, rgb
from minideconv.data.voc_colors import VOC_CLASSES, VOID, voc_palette
from minideconv.errors import DataError, some

__all__ = ["check_objects", "read_indices", "read_mask", "read_pair", "refuse_other_size"]

_PALETTE = voc_palette()
_SAMPLE = 64
_LABELS = (*range(len(VOC_CLASSES)), VOID)


def read_pair(image_path: Path, mask_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a photograph (H, W, 3) uint8 RGB and its mask (H, W) uint8, both upright.

    Raises
    ------
    DataError
        If one of them is missing, broken or wrongly labelled, or their sizes differ.
    """
    photograph = _decode(image_path)
    mask = read_mask(mask_path)
    try:
        image = rgb(image_path, photograph.upright)
    except DataError as error:
        raise DataError(f"VOC: {error}") from error
    refuse_other_size(mask_path, mask.shape, image_path, image.shape[:2], photograph.orientation)
    return image, mask


def read_mask(path: Path) -> np.ndarray:
    """Read a class mask: (H, W) uint8 of VOC's classes, 255 void."""
    file = _decode(path)
    mask = _indices(path, file)
    counts = np.bincount(mask.ravel(), minlength=256)
    used = [int(value) for value in np.flatnonzero(counts)]
    wrong = [value for value in used if value not in _LABELS]
    if wrong:
        pixels = int(counts[wrong].sum())
        raise DataError(
            f"VOC: mask {path} holds the values {some(wrong)} in {pixels} pixels;"
            f" legal are 0..{len(VOC_CLASSES) - 1} and {VOID} (void)"
        )
    if file.upright.mode == "P":
        _check_palette(path, file, used)
    return mask


def read_indices(path: Path) -> np.ndarray:
    """Read a mask's numbers (H, W) uint8, whatever they stand for."""
    return _indices(path, _decode(path))


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
        f"VOC: {path} is {shape[1]}x{shape[0]} pixels but {other} is"
        f" {other_shape[1]}x{other_shape[0]}"
    )
    if turned in SIDEWAYS and shape == other_shape[::-1]:
        raise DataError(
            f"{sizes} when turned upright by its EXIF orientation {turned}; "
            "the mask fits the pixels as they are stored, "
            "so turn the mask too, or take the orientation out of the photograph"
        )
    raise DataError(f"{sizes}; the two must have one size")


def _decode(path: Path) -> Picture:
    try:
        if not path.is_file():
            raise DataError(f"VOC: {path} is missing")
        if path.stat().st_size == 0:
            raise DataError(f"VOC: {path} is empty")
        return read_upright(path)
    except DataError:
        raise
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.strerror:  # of the system, not of a decoder
            raise DataError(f"VOC: {path} cannot be read: {error.strerror}") from error
        reason = str(error).replace(str(path), "it").rstrip(".")
        raise DataError(
            f"VOC: {path} cannot be decoded; it is damaged or cut off ({reason})"
        ) from error


def _indices(path: Path, file: Picture) -> np.ndarray:
    mode = file.upright.mode
    if mode not in ("P", "L"):
        raise DataError(
            f"VOC: mask {path} has mode {mode}; masks must be palette PNGs (mode P) whose"
            f" index is the class, {_probably(mode)}"
        )
    if file.format in ("JPEG", "MPO", "JPEG2000"):
        raise DataError(
            f"VOC: mask {path} is stored as {file.format}, which changes grey levels, hence"
            " classes; masks must be PNGs"
        )
    depth = _grey_depth(path) if mode == "L" and file.format == "PNG" else 8
    if depth < 8:
        raise DataError(
            f"VOC: mask {path} is a greyscale PNG of {depth} bits, whose grey level"
            f" {2**depth - 1} means white, 255; save it with 8 bits, or as a palette PNG"
        )
    return np.array(file.upright)


def _probably(mode: str) -> str:
    if mode == "1":
        return "and this is black and white: give the pixels of an object the number of its class"
    if mode.startswith("I") or mode == "F":
        return "and this has more than 8 bits: save it as an 8-bit PNG of the same numbers"
    return "so it was probably converted to colours"


def _grey_depth(path: Path) -> int:
    """Return the bits of a greyscale PNG, which Pillow stretches to 0..255: 1 of 4 bits is 17."""
    with path.open("rb") as file:
        return file.read(25)[24]  # the signature, then IHDR: length, name, width, height, depth


def _check_palette(path: Path, file: Picture, used: list[int]) -> None:
    """Refuse a mask whose indices were dealt anew by a program that made its own palette."""
    flat = np.array(file.upright.getpalette("RGB") or [], dtype=np.uint8)
    colours = flat.reshape(-1, 3)
    for value in used:
        if value >= len(colours):
            continue
        owner = next((k for k in _LABELS if (_PALETTE[k] == colours[value]).all()), value)
        if owner != value:
            name = "void" if owner == VOID else f"class {owner} ({VOC_CLASSES[owner]})"
            raise DataError(
                f"VOC: mask {path} shows index {value} in the colour of {name};"
                " it was saved anew with a palette of its own, so its indices are not classes"
            )


def check_objects(paths: Sequence[Path], what: str) -> str:
    """Refuse masks none of which shows a class beside background; return a remark, or "".

    Some 64 masks, spread evenly over the list, are read; only if none of them shows a class are
    the others, up to the first that does.

    Parameters
    ----------
    paths : sequence of Path
        The class masks.
    what : str
        What to call the list in a message.

    Returns
    -------
    str
        A sentence if some masks show void and no class, which is legal but seldom meant.

    Raises
    ------
    DataError
        If no mask shows a class, or one that was read is broken.
    """
    step = -(-len(paths) // _SAMPLE)
    looked_at = 0
    empty: dict[Path, set[int]] = {}  # those without a class
    for path in [*paths[::step], *(path for k, path in enumerate(paths) if k % step)]:
        if looked_at >= _SAMPLE and len(empty) < looked_at:
            break
        looked_at += 1
        values = set(np.flatnonzero(np.bincount(read_mask(path).ravel())).tolist())
        if values <= {0, VOID}:
            empty[path] = values
    void = [path for path, values in empty.items() if VOID in values]
    if len(empty) == looked_at:
        raise DataError(
            _nothing(len(empty), void or list(empty), set().union(*empty.values()), what)
        )
    if void:
        return (
            f"note: {len(void)} of {looked_at} masks looked at in {what} hold {VOID} (void) and no"
            f" class, {void[0].name} for one; void is not learned"
        )
    return ""


def _nothing(count: int, examples: list[Path], values: set[int], what: str) -> str:
    names = {0: "0 (background)", VOID: f"{VOID} (void)"}
    held = " and ".join(names[value] for value in sorted(values))
    return (
        f"VOC: none of the {count} masks of {what} shows a class; they hold {held} alone,"
        f" {examples[0]} for one, and the pixels of an object must hold the number of its class,"
        f" 1..{len(VOC_CLASSES) - 1}"
    )
