"""Feature maps in rows, masks over photographs with a legend, and curves of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.backend import to_cpu
from minideconv.data.voc_colors import VOID, overlay, voc_palette
from minideconv.visualize.boards import activation_picture
from minideconv.visualize.charts import nice_ticks
from minideconv.visualize.figures.picture import Picture, text_width
from minideconv.visualize.figures.style import HUES, LINE, MUTED, PAGE_WIDTH, contrast

__all__ = ["feature_strip", "mask_overlay", "training_curves"]


def feature_strip(
    maps: Mapping[str, npt.NDArray[Any]], *, columns: int = 4, gap: float = 12
) -> Picture:
    """Draw one map of each layer, with the layer's name and the map's size, in rows.

    Parameters
    ----------
    maps : mapping of str to (C, H, W) or (H, W) array
        Of several channels the one with the largest mean square is shown (`activation_picture`).
    columns : int
        Panels in a row; four are 171 pixels wide each.
    gap : float
        Pixels between them.
    """
    side = (PAGE_WIDTH - gap * (columns - 1)) / columns
    rows = -(-len(maps) // columns)
    width = min(len(maps), columns) * (side + gap) - gap
    picture = Picture(width, rows * (side + 40))
    for place, (name, array) in enumerate(maps.items()):
        channels = np.asarray(to_cpu(array), float)
        channels = channels[None] if channels.ndim == 2 else channels
        row, column = divmod(place, columns)
        x, y = column * (side + gap), row * (side + 40)
        high, wide = channels.shape[1:]
        picture.words(x, y + 10, name, anchor="start", bold=True)
        picture.words(x, y + 27, f"{high} × {wide}", anchor="start", colour=MUTED)
        image = activation_picture(channels, max(2 * int(side), high))
        picture.pixels(x, y + 38, side, side, image, about=name)
    return picture


def mask_overlay(
    image: npt.NDArray[np.uint8],
    mask: npt.NDArray[Any],
    classes: Sequence[str],
    *,
    palette: npt.NDArray[np.uint8] | None = None,
    width: float = 340,
) -> Picture:
    """Draw labels over a photograph, with a legend of the classes that are there.

    Parameters
    ----------
    image : (H, W, 3) uint8
    mask : (H, W) integers
    classes : sequence of str
        The name of each label.
    palette : (256, 3) uint8, optional
        The colour of each label; VOC's if left out.
    width : float
        Of the photograph, in pixels.

    Raises
    ------
    ValueError
        If a label has no name.
    """
    colours = voc_palette() if palette is None else palette
    labels = [int(label) for label in np.unique(mask)]
    unknown = [label for label in labels if label != VOID and not 0 <= label < len(classes)]
    if unknown:
        raise ValueError(
            f"mask_overlay: mask has label {unknown[0]}; classes names 0..{len(classes) - 1}, and"
            f" {VOID} is void"
        )
    names = ["void" if label == VOID else classes[label] for label in labels]
    high = width * image.shape[0] / image.shape[1]
    room = 30 + max(map(text_width, names))
    picture = Picture(width + 14 + room, max(high, 24.0 * len(labels) + 4))
    shown = overlay(image, np.asarray(mask), palette=palette)
    picture.pixels(0, 0, width, high, shown, about="overlay")
    for row, (label, name) in enumerate(zip(labels, names, strict=True)):
        fill = "#" + "".join(f"{part:02x}" for part in colours[label])
        y = 24.0 * row + 4
        picture.box(width + 14, y, 16, 16, fill=fill, about=f"class {label}")
        picture.words(width + 38, y + 8, name, anchor="start")
    return picture


def training_curves(
    lines: Mapping[str, Sequence[tuple[float, float]]], *, x_axis: str = "step", y_axis: str = ""
) -> Picture:
    """Draw curves over the steps of a training, each with its name at its end.

    Parameters
    ----------
    lines : mapping of str to sequence of (x, y)
        At most four, in order of x, y not negative. A line is told from the others by its name
        beside it, by its colour, and every second one by dashes.
    x_axis, y_axis : str

    Raises
    ------
    ValueError
        If there are more than four, or a line has no points.
    """
    hues = [hue for hue in HUES if contrast(hue) >= 3.0]
    if not 1 <= len(lines) <= len(hues) or not all(map(len, lines.values())):
        raise ValueError(
            f"training_curves: lines has {len(lines)}; it must be 1..{len(hues)} lines of points"
        )
    points = [point for line in lines.values() for point in line]
    y_ticks = nice_ticks(max(1e-12, *(y for _, y in points)))
    x_high = max(1e-12, *(x for x, _ in points))
    left, right, top, bottom = 56.0, 24 + max(map(text_width, lines)), 30.0, 220.0
    picture = Picture(PAGE_WIDTH, bottom + 44)
    across = PAGE_WIDTH - left - right

    def place(x: float, y: float) -> tuple[float, float]:
        return left + x / x_high * across, bottom - y / y_ticks[-1] * (bottom - top)

    picture.words(4, 10, y_axis, anchor="start", colour=MUTED)
    for tick in y_ticks:
        _, y = place(0, tick)
        picture.line([(left, y), (left + across, y)], colour=LINE, line=0.5)
        picture.words(left - 8, y, f"{tick:g}", anchor="end", size=12, colour=MUTED)
    for tick in nice_ticks(x_high):
        if tick <= x_high * 1.001:
            picture.words(place(tick, 0)[0], bottom + 14, f"{tick:g}", size=12, colour=MUTED)
    picture.words(left + across, bottom + 34, x_axis, anchor="end", colour=MUTED)
    taken: list[float] = []
    for number, (name, line) in enumerate(lines.items()):
        hue = hues[number]
        picture.line([place(x, y) for x, y in line], colour=hue, line=2.2, about=name,
                     dashed=number % 2 == 1)  # fmt: skip
        x, y = place(*line[-1])
        while any(abs(y - other) < 16 for other in taken):  # names do not meet
            y -= 4
        taken.append(y)
        picture.words(x + 8, y, name, anchor="start", bold=True)
    return picture
