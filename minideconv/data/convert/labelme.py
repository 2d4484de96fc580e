"""labelme's JSON files, one for each photograph.

| shape | pixels |
|---|---|
| polygon, rectangle, circle | those whose centre lies inside, see `polygons` |
| mask | those that are not 0 in the picture that is embedded |
| line, linestrip, point, points | none: it is left out, with a remark |

Later shapes cover earlier ones, as in labelme's own export. Which shapes are one object (group_id)
does not matter for a mask of classes.

https://github.com/wkentaro/labelme/blob/main/labelme/utils/shape.py
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minideconv.data.convert.faults import Faults
from minideconv.data.convert.items import Item, Labelled, Object, painted
from minideconv.data.convert.json_files import kind_of, points_of, read_json, text_of, whole_number
from minideconv.data.convert.photographs import PhotographFiles
from minideconv.data.convert.polygons import fill_circle, fill_polygon
from minideconv.data.pictures import UNREADABLE
from minideconv.data.png import png_damage
from minideconv.errors import DataError

__all__ = ["is_labelme", "read_labelme"]

_WIDEST = 1 << 20
_THIN = ("line", "linestrip", "point", "points")
_CORNERS = {"rectangle": 2, "circle": 2, "mask": 2}
_SHAPES = ("polygon", "oriented_rectangle", *_CORNERS)


def is_labelme(found: dict[str, Any]) -> bool:
    """Whether the content of a JSON file is labelme's."""
    return "shapes" in found


def read_labelme(
    root: Path, files: Sequence[Path], photographs: PhotographFiles, faults: Faults
) -> Labelled:
    """Read labelme's files; what is wrong with each goes to `faults`."""
    items, labels, used = [], set(), set()
    for path in files:
        try:
            content = read_json(path)
            shapes = content.get("shapes")
            if not isinstance(shapes, list):
                raise DataError(
                    f"its 'shapes' is {kind_of(shapes)}, so it is no file of labelme's; move other"
                    " files out of the folder"
                )
            photograph = _photograph(path, content, photographs)
            size = _size(content)
        except DataError as error:
            faults.add(path, error)
            continue
        objects = []
        for number, shape in enumerate(shapes):
            try:
                each = _object(path, number, shape, faults)
            except DataError as error:
                faults.add(path, error)
            else:
                objects += [] if each is None else [each]
        labels |= {each.label for each in objects}
        used |= {photograph} if isinstance(photograph, Path) else set()
        name = path.relative_to(root).with_suffix("").as_posix()
        paint = painted(path, objects, faults)
        items.append(Item(name, path, photograph, paint, size))
    return Labelled(items, sorted(labels), unlabelled=sorted(photographs.paths - used))


def _photograph(
    path: Path, content: dict[str, Any], photographs: PhotographFiles
) -> Path | Callable[[], bytes]:
    """Return the file that ``imagePath`` names, or else what decodes ``imageData``."""
    embedded = content.get("imageData")
    if embedded is not None and not isinstance(embedded, str):
        raise DataError(f"its 'imageData' is {kind_of(embedded)}; it must be text or null")
    try:
        return photographs.find(text_of(content.get("imagePath"), "its 'imagePath'"), path.parent)
    except DataError:
        if not embedded:
            raise
    # Photographs are large: each is decoded when its turn comes, and not kept.
    return partial(_embedded, path)


def _embedded(path: Path) -> bytes:
    return _bytes(read_json(path).get("imageData"), "its 'imageData'")


def _bytes(text: object, what: str) -> bytes:
    if not isinstance(text, str):
        raise DataError(f"{what} is {kind_of(text)}; it must be text")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{what} is damaged: it is no text in base64") from error


def _size(content: dict[str, Any]) -> tuple[int, int] | None:
    """Return the size that is stated; older versions state none."""
    named = ("imageHeight", "imageWidth")
    if all(content.get(name) is None for name in named):
        return None
    height, width = (whole_number(content.get(n), f"its {n!r}", 1, _WIDEST) for n in named)
    return height, width


def _object(path: Path, number: int, shape: object, faults: Faults) -> Object | None:
    """Return one shape, or None if it has no pixels."""
    what = f"shape {number}"
    if not isinstance(shape, dict):
        raise DataError(f"{what} is {kind_of(shape)}; it must be an object")
    label = text_of(shape.get("label"), f"the label of {what}")
    what = f"{what} ({label})"
    kind = shape.get("shape_type") or "polygon"  # older versions know no other
    if kind in _THIN:
        faults.remark(path, "points and lines, which have no area, left out")
        return None
    if kind not in _SHAPES:
        raise DataError(f"{what} is of the kind {kind_of(kind)}; legal are {', '.join(_SHAPES)}")
    points = points_of(shape.get("points"), what)
    if len(points) != _CORNERS.get(kind, len(points)):
        raise DataError(f"{what} is a {kind} of {len(points)} points; it must have 2")
    if kind == "mask":
        return Object(label, _embedded_mask(shape, points, what))
    if kind == "circle":
        return Object(label, partial(fill_circle, points[0], points[1]))
    if kind == "rectangle":
        (x0, y0), (x1, y1) = points
        points = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    if len(points) < 3:
        faults.remark(path, "polygons of less than 3 points, left out")
        return None
    return Object(label, partial(fill_polygon, points))


def _embedded_mask(
    shape: dict[str, Any], points: np.ndarray, what: str
) -> Callable[[int, int], np.ndarray]:
    """Return what fills the pixels of a mask whose corner pixels, both inside, are `points`."""
    (left, top), (right, bottom) = np.rint(points).astype(int).tolist()
    size = (bottom - top + 1, right - left + 1)
    content = _bytes(shape.get("mask"), f"the mask of {what}")
    if damage := png_damage(content, pixels=True):
        raise DataError(f"the mask of {what} is damaged: {damage}")
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as file:
            # The size in the header, before anything of that size is made.
            if file.size != size[::-1]:
                raise DataError(
                    f"the mask of {what} has {file.size[0]}x{file.size[1]} pixels; its points say"
                    f" {size[1]}x{size[0]}"
                )
            inside = np.array(file.convert("L")) > 0
    except DataError:
        raise
    except UNREADABLE as error:
        raise DataError(f"the mask of {what} is damaged, or no PNG") from error
    packed = np.packbits(inside)

    def fill(height: int, width: int) -> np.ndarray:
        pixels = np.zeros((height, width), bool)
        own = np.unpackbits(packed, count=size[0] * size[1]).reshape(size).astype(bool)
        y, x = max(top, 0), max(left, 0)
        part = own[y - top : max(height - top, 0), x - left : max(width - left, 0)]
        pixels[y : y + part.shape[0], x : x + part.shape[1]] = part
        return pixels

    return fill
