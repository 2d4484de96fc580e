"""A contact sheet: photographs, their masks laid over them, and which colour is which class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from minideconv.data.check.findings import Report
from minideconv.data.check.look import Look
from minideconv.data.check.looking import places
from minideconv.data.check.report import made_of_no_others
from minideconv.data.resize import resize_image, resize_mask
from minideconv.data.shard import spread
from minideconv.data.subset import choose_balanced
from minideconv.data.voc_colors import VOID
from minideconv.errors import DataError

__all__ = ["contact_sheet"]

_SIDE, _GAP, _LINE = 176, 8, 16
_COLUMNS = 3
_OPACITY = 0.6
_SWATCH = 12
_PAPER, _INK = (255, 255, 255), (0, 0, 0)


class _Item(NamedTuple):
    list: str
    look: Look
    whole: Any
    number: int


class _Cell(NamedTuple):
    caption: str
    photograph: np.ndarray
    overlay: np.ndarray


def contact_sheet(report: Report, count: int = 24) -> np.ndarray:
    """Draw some of the items that have no fault, every class among them if there is room.

    Parameters
    ----------
    report : Report
    count : int
        How many items.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    DataError
        If no item can be drawn.
    """
    unique: dict[tuple[Path, Path | None], _Item] = {}
    # Those of trainval are called by their own lists, train and val.
    for name in dict.fromkeys([*made_of_no_others(report), *report.lists]):
        for look, (whole, index) in zip(
            report.looks[name], places(report.lists[name]), strict=True
        ):
            if not look.faults:
                paths = whole.image_path(index), whole.mask_path(index)
                unique.setdefault(paths, _Item(name, look, whole, index))
    if not unique:
        raise DataError("check: no photograph can be drawn, for none can be used")
    items = [*unique.values()]
    palette = items[0].whole.class_table.palette()
    chosen = [items[k] for k in _chosen([[*(item.look.pixels or {})] for item in items], count)]
    labels = sorted({label for item in chosen for label in item.look.pixels or {}})
    cells = [_cell(item, palette) for item in chosen]
    return _laid_out(cells, _legend(report.classes, labels), palette)


def _chosen(labels: Sequence[Sequence[int]], count: int) -> list[int]:
    """Choose items that show every class, and others spread over the rest."""
    shown = [[label for label in each if label not in (0, VOID)] for each in labels]
    first = choose_balanced(shown, 1, np.random.default_rng(0))
    chosen = [first[k] for k in spread(len(first), count)]
    rest = [k for k in range(len(labels)) if k not in set(chosen)]
    return sorted(chosen + [rest[k] for k in spread(len(rest), count - len(chosen))])


def _cell(item: _Item, palette: np.ndarray) -> _Cell:
    image, mask = item.whole[item.number]
    scale = _SIDE / max(image.shape[:2])
    size = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
    small = resize_image(image, size)
    labels = resize_mask(mask, size)
    weight = (labels != 0)[..., None] * np.float32(_OPACITY)
    mixed = small.astype(np.float32) * (1 - weight) + palette[labels] * weight
    caption = f"{item.list}: {item.whole.name(item.number)}"
    return _Cell(caption, small, np.rint(mixed).astype(np.uint8))


def _legend(classes: Sequence[str], labels: Sequence[int]) -> list[tuple[int, str]]:
    names = dict(enumerate(classes)) | {VOID: "void"}
    return [(label, f"{label} {names[label]}") for label in labels if label != 0]


def _laid_out(cells: list[_Cell], legend: list[tuple[int, str]], palette: np.ndarray) -> np.ndarray:
    """Put the cells below each other in columns, and the legend above them."""
    columns = min(_COLUMNS, len(cells))
    step = 2 * _SIDE + 3 * _GAP
    width = columns * step + _GAP
    across = max(1, min(6, width // 170))
    top = _GAP + -(-len(legend) // across) * _LINE + _GAP
    rows = [cells[k : k + columns] for k in range(0, len(cells), columns)]
    heights = [max(len(cell.photograph) for cell in row) + _LINE + _GAP for row in rows]
    sheet = Image.new("RGB", (width, top + sum(heights)), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for place, (label, text) in enumerate(legend):
        x, y = _GAP + place % across * (width // across), _GAP + place // across * _LINE
        colour = tuple(palette[label].tolist())
        draw.rectangle((x, y + 1, x + _SWATCH, y + 1 + _SWATCH), colour, _INK)
        _write(draw, (x + _SWATCH + 5, y), text, font, width // across - _SWATCH - 10)
    for row, height in zip(rows, heights, strict=True):
        for place, cell in enumerate(row):
            x = _GAP + place * step
            _write(draw, (x, top), cell.caption, font, step - _GAP)
            sheet.paste(Image.fromarray(cell.photograph), (x, top + _LINE))
            right = x + cell.photograph.shape[1] + _GAP // 2
            sheet.paste(Image.fromarray(cell.overlay), (right, top + _LINE))
        top += height
    return np.asarray(sheet)


def _write(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, font: Any, width: int
) -> None:
    """Write a line, cut off where it becomes too wide; letters that the font lacks become "?"."""
    try:
        draw.textlength(text, font=font)
    except UnicodeEncodeError:  # a Pillow without FreeType
        text = text.encode("latin-1", "replace").decode("latin-1")
    if draw.textlength(text, font=font) > width:
        while text and draw.textlength(f"{text}..", font=font) > width:
            text = text[:-1]
        text += ".."
    draw.text(corner, text, _INK, font=font)
