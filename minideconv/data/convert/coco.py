"""COCO's JSON files: images, annotations and categories of one list each.

An outline is a list of polygons, together one object; or runs (see `rle`), as numbers or as text.
**The larger of two objects is drawn first**, so that a small one in front of it is seen, by the
area of the outlines themselves; of equally large ones the later covers the earlier. A crowd
(``iscrowd``) is drawn as what it is a crowd of. The class's index follows the category's id, with
no gaps.

https://cocodataset.org/#format-data
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from minideconv.data.convert.faults import Faults
from minideconv.data.convert.items import Item, Labelled, Object, painted
from minideconv.data.convert.json_files import kind_of, points_of, read_json, text_of, whole_number
from minideconv.data.convert.photographs import PhotographFiles
from minideconv.data.convert.polygons import area, fill_polygon
from minideconv.data.convert.rle import check_runs, decode_runs, runs_of_text
from minideconv.errors import DataError

__all__ = ["is_coco", "read_coco", "split_of"]

_WIDEST = 1 << 20
_LARGEST_ID = 1 << 62


def is_coco(found: dict[str, Any]) -> bool:
    """Whether the content of a JSON file is COCO's."""
    return "images" in found and "annotations" in found


def split_of(name: str) -> str:
    """Return which list a name of a file or folder means: train, val, test, or empty if none.

    >>> split_of("instances_val2017"), split_of("valid"), split_of("default")
    ('val', 'val', '')
    """
    found = re.search(r"(?<![a-z])(train|val|test)", name.lower())
    return found[1] if found else ""


def read_coco(files: Sequence[Path], photographs: PhotographFiles, faults: Faults) -> Labelled:
    """Read COCO's files; what is wrong with each goes to `faults`."""
    items: list[Item] = []
    labels: list[str] = []
    for path in files:
        try:
            content = read_json(path)
            categories = _categories(_table(content, "categories"))
            images = _table(content, "images")
            annotations = _table(content, "annotations")
        except DataError as error:
            faults.add(path, error)
            continue
        labels += [label for label in categories.values() if label not in labels]
        split = (split_of(path.stem) or split_of(path.parent.name)) if len(files) > 1 else ""
        items += _items(path, images, annotations, categories, photographs, faults, split)
    return Labelled(items, labels)


def _table(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return one of the lists of records."""
    rows = content.get(name)
    if not isinstance(rows, list):
        raise DataError(f"its {name!r} is {kind_of(rows)}; it must be a list")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"number {number} of its {name!r} is {kind_of(row)}, no object")
    if name == "annotations" and any("segments_info" in row for row in rows[:1]):
        raise DataError("it is of COCO's panoptic kind; its masks are PNGs, which are not read")
    return rows


def _categories(rows: Sequence[dict[str, Any]]) -> dict[int, str]:
    """Return each category's name by its id, in the order of the ids."""
    found: dict[int, str] = {}
    for number, row in enumerate(rows):
        key = whole_number(row.get("id"), f"the id of category {number}", 0, _LARGEST_ID)
        name = text_of(row.get("name"), f"the name of category {number}")
        if key in found or name in found.values():
            raise DataError(
                f"category {number} has the id or the name of an earlier: {key}, {name!r}"
            )
        found[key] = name
    return dict(sorted(found.items()))


def _items(
    path: Path,
    images: Sequence[dict[str, Any]],
    annotations: Sequence[dict[str, Any]],
    categories: dict[int, str],
    photographs: PhotographFiles,
    faults: Faults,
    split: str,
) -> list[Item]:
    records: dict[int, tuple[str, Path | None, tuple[int, int]]] = {}
    for number, row in enumerate(images):
        try:
            what = f"image {number}"
            key = whole_number(row.get("id"), f"the id of {what}", 0, _LARGEST_ID)
            if key in records:
                raise DataError(f"{what} has the id {key} of an earlier one")
            name = text_of(row.get("file_name"), f"the file_name of {what}")
            sides = (row.get("height"), row.get("width"))
            height, width = (whole_number(s, f"the size of {what}", 1, _WIDEST) for s in sides)
            # Kept where the picture is missing, so that its annotations are no faults as well.
            records[key] = (name, None, (height, width))
            records[key] = (name, photographs.find(name, path.parent), (height, width))
        except DataError as error:
            faults.add(path, error)
    objects: dict[int, list[tuple[float, Object]]] = {key: [] for key in records}
    for number, row in enumerate(annotations):
        try:
            what = f"annotation {number}"
            key = whole_number(row.get("image_id"), f"the image_id of {what}", 0, _LARGEST_ID)
            kind = whole_number(
                row.get("category_id"), f"the category_id of {what}", 0, _LARGEST_ID
            )
            for known, value, list_ in ((records, key, "image"), (categories, kind, "category")):
                if value not in known:
                    raise DataError(f"{what} is of the {list_} {value}, which is not listed")
            outline = _outline(path, row.get("segmentation"), records[key][2], what, faults)
        except DataError as error:
            faults.add(path, error)
        else:
            if outline is not None:
                size, fill = outline
                objects[key].append((size, Object(categories[kind], fill)))
    items = []
    for key, (name, photograph, size_) in records.items():
        ordered = sorted(objects[key], key=lambda pair: -pair[0])  # sorted() keeps equals in order
        if photograph is not None:
            plain = PurePosixPath(name.replace("\\", "/")).with_suffix("").as_posix()
            paint = painted(photograph, [each for _, each in ordered], faults)
            items.append(Item(plain, photograph, photograph, paint, size_, split))
    return items


def _outline(
    path: Path, outline: object, size: tuple[int, int], what: str, faults: Faults
) -> tuple[float, Callable[[int, int], np.ndarray]] | None:
    """Return the area of an outline and what fills it, or None if it has no pixels."""
    if isinstance(outline, dict):
        return _runs(outline, size, f"the segmentation of {what}")
    if outline is None or outline == []:
        faults.remark(path, "annotations without an outline (a box alone), left out")
        return None
    if not isinstance(outline, list):
        raise DataError(
            f"the segmentation of {what} is {kind_of(outline)}; it must be polygons or runs"
        )
    polygons = []
    for number, flat in enumerate(outline):
        part = f"polygon {number} of {what}"
        if not isinstance(flat, list) or len(flat) % 2:
            raise DataError(f"{part} is {kind_of(flat)}; it must be a list [x, y, x, y, ...]")
        points = points_of([list(pair) for pair in zip(flat[::2], flat[1::2], strict=True)], part)
        if len(points) < 3:
            faults.remark(path, "polygons of less than 3 points, left out")
        else:
            polygons.append(points)
    return (sum(map(area, polygons)), partial(_fill, polygons)) if polygons else None


def _fill(polygons: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """Return the pixels of several polygons together."""
    pixels = np.zeros((height, width), bool)
    for points in polygons:
        pixels |= fill_polygon(points, height, width)
    return pixels


def _runs(
    outline: dict[str, Any], size: tuple[int, int], what: str
) -> tuple[float, Callable[[int, int], np.ndarray]]:
    """Return the area of a mask that is given in runs, and what fills it."""
    if outline.get("size") != list(size):
        raise DataError(
            f"{what} has the size {kind_of(outline.get('size'))}; its image has {list(size)}"
        )
    runs = outline.get("counts")
    try:
        if isinstance(runs, str):
            runs = runs_of_text(runs)
        if not isinstance(runs, list) or not all(type(run) is int for run in runs):
            raise DataError(
                f"the counts of {what} are {kind_of(runs)}; they must be numbers, or text"
            )
        check_runs(runs, *size)
    except ValueError as error:
        raise DataError(f"{what}: {error}") from error
    kept = np.array(runs, np.int64)  # 8 bytes each, where a number of Python's has 28

    def fill(height: int, width: int) -> np.ndarray:
        return decode_runs(kept.tolist(), height, width)

    return float(kept[1::2].sum()), fill
