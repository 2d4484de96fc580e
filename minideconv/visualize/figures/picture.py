"""A picture as a list of marks: boxes, words, lines, dots and images, to be drawn in two ways.

The list is what a picture says, so a test reads it and looks at no pixels. `svg` writes it as
text, for pages; `raster` draws it with Pillow, for animations. Lengths are CSS pixels from the top
left corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.visualize.figures.style import INK, LEAST_TEXT, LINE, PAPER, TEXT, ink_on

__all__ = [
    "Box",
    "Dot",
    "Line",
    "Mark",
    "Picture",
    "Pixels",
    "Words",
    "side_by_side",
    "text_width",
]

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle; `about` says what it stands for."""

    x: float
    y: float
    width: float
    height: float
    fill: str = "none"
    stroke: str = LINE
    line: float = 1.0
    opacity: float = 1.0
    dashed: bool = False
    about: str = ""


@dataclass(frozen=True)
class Words:
    """A line of text: `y` is its middle, `x` its start, middle or end (`anchor`)."""

    x: float
    y: float
    text: str
    size: float = TEXT
    colour: str = INK
    anchor: str = "middle"
    bold: bool = False


@dataclass(frozen=True)
class Line:
    """A line through points, with an arrow head at its end or none."""

    points: tuple[Point, ...]
    colour: str = INK
    line: float = 1.5
    arrow: bool = False
    dashed: bool = False
    about: str = ""


@dataclass(frozen=True)
class Dot:
    """A circle."""

    x: float
    y: float
    radius: float
    fill: str = "none"
    stroke: str = INK
    line: float = 1.5
    about: str = ""


@dataclass(frozen=True, eq=False)
class Pixels:
    """An image (h, w, 3) uint8 that fills a rectangle; its pixels stay sharp."""

    x: float
    y: float
    width: float
    height: float
    image: npt.NDArray[np.uint8]
    about: str = ""


Mark = Box | Words | Line | Dot | Pixels


def text_width(text: str, size: float = TEXT) -> float:
    """Return about how wide a text is drawn: not narrower than common sans-serif fonts are."""
    return 0.6 * size * len(text)


class Picture:
    """A drawing of `width` x `height` CSS pixels.

    Attributes
    ----------
    marks : list
        `Box`, `Words`, `Line`, `Dot` and `Pixels`, the last on top.

    Examples
    --------
    >>> picture = Picture(60, 30)
    >>> picture.grid(0, 0, np.eye(2), cell=30)
    >>> [mark.text for mark in picture.marks if isinstance(mark, Words)]
    ['1', '0', '0', '1']
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.marks: list[Mark] = []

    def box(self, x: float, y: float, width: float, height: float, **look: Any) -> None:
        """Draw a rectangle: `Box`."""
        self.marks.append(Box(x, y, width, height, **look))

    def words(self, x: float, y: float, text: str, **look: Any) -> None:
        """Write a line of text: `Words`."""
        self.marks.append(Words(x, y, text, **look))

    def line(self, points: Sequence[Point], **look: Any) -> None:
        """Draw a line: `Line`."""
        self.marks.append(Line(tuple(points), **look))

    def dot(self, x: float, y: float, radius: float, **look: Any) -> None:
        """Draw a circle: `Dot`."""
        self.marks.append(Dot(x, y, radius, **look))

    def pixels(
        self, x: float, y: float, width: float, height: float, image: Any, about: str = ""
    ) -> None:
        """Draw an image: `Pixels`."""
        self.marks.append(Pixels(x, y, width, height, np.asarray(image, np.uint8), about))

    def cell(
        self, x: float, y: float, side: float, label: str = "", *, fill: str = PAPER,
        colour: str = "", **look: Any,
    ) -> None:  # fmt: skip
        """Draw a square with a label, if a label of `LEAST_TEXT` pixels fits in."""
        self.box(x, y, side, side, fill=fill, **look)
        size = min(TEXT + 1.0, 0.6 * side, (side - 2) / max(1.0, 0.6 * len(label)))
        if label and size >= LEAST_TEXT:
            ink = colour or ink_on(fill if fill != "none" else PAPER)
            self.words(x + side / 2, y + side / 2, label, size=size, colour=ink)

    def grid(
        self, x: float, y: float, array: Any, *, cell: float, fills: Any = None, title: str = "",
        names: Any = None, about: str = "",
    ) -> None:  # fmt: skip
        """Draw a matrix of numbers as cells, with a title above.

        Parameters
        ----------
        x, y : float
            Its top left corner; a title is above it.
        array : (rows, columns)
        cell : float
            Side of a cell.
        fills : (rows, columns) of str, optional
            Colours ``#rrggbb``; white if left out.
        title : str
        names : (rows, columns) of str, optional
            What is written in the cells; the numbers if left out.
        about : str
            What a cell is: `Box.about` is this and the cell's row and column.
        """
        if title:
            self.words(x, y - 14, title, anchor="start", bold=True)
        for (row, column), number in np.ndenumerate(np.asarray(array)):
            label = f"{number:g}" if names is None else names[row][column]
            fill = PAPER if fills is None else str(fills[row][column])
            what = f"{about} {row},{column}" if about else ""
            self.cell(x + column * cell, y + row * cell, cell, label, fill=fill, about=what)

    def add(self, other: Picture, x: float, y: float) -> None:
        """Draw another picture at a place in this one."""
        for mark in other.marks:
            if isinstance(mark, Line):
                points = tuple((px + x, py + y) for px, py in mark.points)
                self.marks.append(replace(mark, points=points))
            else:
                self.marks.append(replace(mark, x=mark.x + x, y=mark.y + y))

    @property
    def smallest_text(self) -> float:
        """Height of the smallest text, in CSS pixels; `TEXT` if there is none."""
        return min([mark.size for mark in self.marks if isinstance(mark, Words)], default=TEXT)


def side_by_side(pictures: Sequence[Picture], gap: float = 24) -> Picture:
    """Return pictures in one row, aligned at their tops."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    row = Picture(width, max(picture.height for picture in pictures))
    x = 0.0
    for picture in pictures:
        row.add(picture, x, 0)
        x += picture.width + gap
    return row
