"""Masks that are pictures already: CVAT's, labelme's exported ones, and colours of any program.

A mask of colours says by its colour which class a pixel is of; which colour is which, a
``labelmap.txt`` (CVAT) or a ``classes.txt`` says. A mask of indices is what labelme exports beside
``class_names.txt``. A mask belongs to the photograph with the same path and name but for the
suffix.

https://docs.cvat.ai/docs/manual/advanced/formats/format-smask/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from minideconv.data.classes import CLASS_FILES, Classes
from minideconv.data.convert.coco import split_of
from minideconv.data.convert.faults import Faults
from minideconv.data.convert.items import Item, Labelled
from minideconv.data.convert.photographs import PhotographFiles, files_below
from minideconv.data.lists import MASK_SUFFIXES, ListedFiles, read_lines
from minideconv.data.masks import read_mask
from minideconv.data.pictures import read_upright
from minideconv.data.voc_colors import VOID
from minideconv.errors import DataError, some

__all__ = ["indices_of_colours", "read_mask_files"]

_ROWS = 256
_EXACT = ("PNG", "TIFF", "BMP", "GIF")


def read_mask_files(
    root: Path,
    masks: Path,
    classes: Classes,
    photographs: PhotographFiles,
    faults: Faults,
    by_colour: bool,
) -> Labelled:
    """Read a folder of masks.

    Parameters
    ----------
    root : Path
        Where ``ImageSets/Segmentation`` with lists may be.
    masks : Path
        The folder of the masks.
    classes : Classes
        Their names and colours.
    by_colour : bool
        Whether a mask's colours say what its classes are, whatever its mode; else `read_mask` is
        certain of each label or refuses.
    """
    files = ListedFiles(masks, MASK_SUFFIXES)
    splits = _splits(root, files, faults)
    read = _coloured if by_colour else read_mask
    items, used = [], set()
    for name in files.names():
        path = files.path(name)
        if splits is not None and name not in splits:
            faults.remark(path, "masks that no list names, left out")
            continue
        try:
            photograph = photographs.find_stem(name)
        except DataError as error:
            faults.add(path, error)
            continue
        used.add(photograph)
        paint = partial(_paint, path, classes, read)
        items.append(Item(name, path, photograph, paint, split=(splits or {}).get(name, "")))
    return Labelled(items, classes.names, classes, sorted(photographs.paths - used))


def _splits(root: Path, files: ListedFiles, faults: Faults) -> dict[str, str] | None:
    """Return each mask's list, empty if its name means none; None if there are no lists."""
    folder = root / "ImageSets" / "Segmentation"
    found: dict[str, str] = {}
    for path in files_below(folder, (".txt",)):
        if path.name in CLASS_FILES or path.stem == "trainval":
            continue
        split = split_of(path.stem)
        try:
            lines = read_lines(path)
        except DataError as error:
            faults.add(path, error)
            continue
        # A line is a name, which may hold spaces, or has a name in its first column.
        meant = {line: files.search(line) or files.search(line.split()[0]) for line in lines}
        missing = [line for line, name in meant.items() if name is None]
        if missing:
            faults.add(path, f"it names {some(missing)}, of which there is no mask")
        for name in filter(None, meant.values()):
            if found.get(name) and split and found[name] != split:
                faults.add(path, f"it names {name}, which is in the list {found[name]} too")
            found[name] = split or found.get(name, "")
    return found or None


def _paint(
    path: Path,
    classes: Classes,
    read: Callable[[Path, Classes], np.ndarray],
    height: int,
    width: int,
    indices: Mapping[str, int],
) -> np.ndarray:
    """Return a mask with the indices that the classes have in the new folder."""
    mask = read(path, classes)
    if mask.shape != (height, width):
        raise DataError(
            f"it is {mask.shape[1]}x{mask.shape[0]} pixels and its photograph {width}x{height};"
            " the two must have one size"
        )
    table = np.full(256, VOID, np.uint8)
    used = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)[: len(classes)])
    unknown = [classes.names[k] for k in used if classes.names[k] not in indices]
    if unknown:
        raise DataError(
            f"it shows {some(unknown)}, which is no class; name it in --classes, or with --void to"
            " learn nothing from its pixels"
        )
    for index in used:
        table[index] = indices[classes.names[index]]
    return table[mask]


def _coloured(path: Path, classes: Classes) -> np.ndarray:
    """Read a mask whose colours are the classes, of whatever mode."""
    picture = read_upright(path, every_bit=True)
    if picture.format not in _EXACT or picture.upright.info.get("compression") == "jpeg":
        raise DataError(
            f"it is stored as {picture.format}, which changes colours, hence classes; masks must be"
            " PNGs"
        )
    mode = picture.upright.mode
    if mode.startswith("I") or mode == "F":
        raise DataError(f"it has mode {mode}, grey levels of more than 8 bits, and no colours")
    if picture.upright.has_transparency_data:
        alpha = np.asarray(picture.upright.convert("RGBA"))[..., 3]
        if (alpha < 255).any():
            raise DataError(
                "some of its pixels are transparent, so have no certain colour; "
                "save it without transparency"
            )
    return indices_of_colours(np.asarray(picture.upright.convert("RGB")), classes)


def indices_of_colours(colours: np.ndarray, classes: Classes) -> np.ndarray:
    """Return the classes (H, W) uint8 that a mask of colours (H, W, 3) uint8 shows.

    Raises
    ------
    DataError
        If a colour is no class's, nor that of void.
    """
    table = np.full(1 << 24, -1, np.int16)
    own = np.vstack([[classes.void], classes.colours])
    table[_codes(own)] = [VOID, *range(len(classes))]
    mask = np.empty(colours.shape[:2], np.uint8)
    unknown: dict[int, int] = {}
    for row in range(0, len(mask), _ROWS):  # a code has four times the bytes of a pixel
        codes = _codes(colours[row : row + _ROWS])
        found = table[codes]
        values, counts = np.unique(codes[found < 0], return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            unknown[value] = unknown.get(value, 0) + count
        mask[row : row + _ROWS] = found
    if unknown:
        most = sorted(unknown, key=lambda value: -unknown[value])
        legal = [
            f"#{code:06x} {name}"
            for code, name in zip(_codes(classes.colours), classes.names, strict=True)
        ]
        raise DataError(
            f"the colours {some([f'#{value:06x}' for value in most])} in {sum(unknown.values())}"
            f" pixels are no class's; the classes are {some(legal, 8)}"
        )
    return mask


def _codes(colours: np.ndarray) -> np.ndarray:
    """Return each colour as one number, red first."""
    return colours.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
