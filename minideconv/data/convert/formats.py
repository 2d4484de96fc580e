"""Which format a source has, and its reader: `find_format`, `read_source`."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from minideconv.data.classes import Classes, find_classes, read_classes
from minideconv.data.convert.coco import is_coco, read_coco
from minideconv.data.convert.faults import Faults
from minideconv.data.convert.items import Labelled
from minideconv.data.convert.json_files import read_json
from minideconv.data.convert.labelme import is_labelme, read_labelme
from minideconv.data.convert.mask_files import read_mask_files
from minideconv.data.convert.photographs import PhotographFiles, files_below
from minideconv.data.lists import MASK_SUFFIXES
from minideconv.errors import DataError, UsageError, some

__all__ = ["FORMATS", "find_format", "read_source"]

FORMATS = {
    "labelme": "a JSON file beside each photograph",
    "labelme-masks": "JPEGImages, SegmentationClassPNG, class_names.txt",
    "coco": "JSON files with images, annotations and categories",
    "cvat": "SegmentationClass, labelmap.txt (Segmentation mask 1.1)",
    "rgb": "a folder of photographs and one of coloured masks",
}
_PHOTOGRAPHS = ("JPEGImages", "images", "Images", "imgs", "photographs", "photos")
_MASKS = ("SegmentationClassPNG", "SegmentationClass", "masks", "Masks", "labels", "annotations")


def find_format(source: Path) -> str:
    """Return the format that a folder or a JSON file seems to have.

    Raises
    ------
    UsageError
        If it seems to have none; the message tells what is there.
    """
    files = [source] if source.is_file() else list(files_below(source, (".json",)))
    masks = None if source.is_file() else _mask_folder(source)
    if masks is not None:
        named = find_classes(source)
        if named is not None and named.name == "labelmap.txt":
            return "cvat"
        if named is not None and named.name in ("class_names.txt", "labels.txt"):
            return "labelme-masks"
    broken = 0
    for path in files:
        try:
            content = read_json(path)
        except DataError:
            broken += 1  # the reader will say so
            continue
        if is_labelme(content):
            return "labelme"
        if is_coco(content):
            return "coco"
    if masks is not None:
        return "rgb"
    if broken and source.is_dir():
        return "labelme"
    there = [source] if source.is_file() else [p for p in source.rglob("*") if p.is_file()]
    counts = Counter(path.suffix.lower() or "no suffix" for path in there).most_common()
    held = some([f"{count} {ending}" for ending, count in counts]) or "no file"
    kinds = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
    raise UsageError(
        f"{source} has none of the formats that are known ({kinds}); its files are {held};"
        " --from names a format"
    )


def read_source(
    source: Path,
    format_: str,
    classes: Classes | None,
    images: Path | None,
    faults: Faults,
) -> Labelled:
    """Read a folder, or a JSON file, of a format.

    Parameters
    ----------
    source : Path
    format_ : str
        One of `FORMATS`.
    classes : Classes or None
        Those that the user wants, whose colours count for masks of colours.
    images : Path or None
        A further folder in which photographs are.

    Raises
    ------
    UsageError
        If something is missing that is not the fault of one file.
    """
    root = _root(source) if source.is_file() else source
    more = [] if images is None else [images]
    if format_ in ("labelme", "coco"):
        photographs = PhotographFiles([root, *more])
        files = [source] if source.is_file() else list(files_below(root, (".json",)))
        if format_ == "labelme":
            listed = find_classes(root)
            labelled = read_labelme(root, files, photographs, faults)
            own = None if listed is None or classes is not None else read_classes(listed)
            return dataclasses.replace(labelled, classes=own)
        # COCO's own folder has files of captions and of key points beside those of outlines.
        instances = [path for path in files if path.name.startswith("instances_")]
        return read_coco(instances or files, photographs, faults)
    masks = _mask_folder(root)
    if source.is_file() or masks is None:
        raise UsageError(f"{source} holds no folder of masks; legal names are {some(_MASKS, 9)}")
    folder = images or _folder(root, _PHOTOGRAPHS)
    if folder is None:
        raise UsageError(
            f"{source} holds no folder of photographs ({some(_PHOTOGRAPHS, 9)}); "
            "--images DIR names one"
        )
    own = _own_classes(root, format_, classes)
    by_colour = format_ != "labelme-masks" and own.chosen
    return read_mask_files(root, masks, own, PhotographFiles([folder]), faults, by_colour)


def _own_classes(root: Path, format_: str, classes: Classes | None) -> Classes:
    """Return the classes that masks are of: those of the file beside them, or else the user's."""
    beside = find_classes(root)
    if beside is not None:
        return read_classes(beside)
    if classes is None:
        wanted = "names" if format_ == "labelme-masks" else "names and colours"
        raise UsageError(
            f"{root} holds no classes.txt and no labelmap.txt; "
            f"--classes FILE gives the {wanted} of the classes"
        )
    return classes


def _folder(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _mask_folder(root: Path) -> Path | None:
    """Return the folder of masks; one of that name may hold JSON files instead."""
    held = [name for name in _MASKS if any(files_below(root / name, MASK_SUFFIXES))]
    return _folder(root, held)


def _root(file: Path) -> Path:
    """Return the folder that a JSON file is of, which may lie in its folder ``annotations``."""
    folder = file.parent
    return folder.parent if folder.name.lower() == "annotations" else folder
