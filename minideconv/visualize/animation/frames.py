"""The frames of an animation, as pictures: one for each output pixel, or for each stamp.

A convolution *gathers*: in each frame the window stands over one place, and one output pixel is
filled in. A transposed convolution *stamps*: in each frame one input pixel lays down the kernel,
multiplied by the pixel, and the sums grow. All numbers come from the library's operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.visualize.animation.geometry import Geometry
from minideconv.visualize.figures.picture import Picture, text_width
from minideconv.visualize.figures.style import ACCENT, FILLS, MUTED, PAGE_WIDTH, PAPER

__all__ = ["MOST_FRAMES", "Frame", "frames"]

MOST_FRAMES = 256
"""More are refused: nobody would look to the end."""
_SIDE, _LEAST_SIDE, _GAP, _TOP = 34.0, 22.0, 30.0, 62.0  # three digits fit into 22 pixels
_IN_FULL = 9  # products that are written out


@dataclass(frozen=True, eq=False)
class Frame:
    """One step: its picture, what happens in words, and the output so far.

    `output` is (H', W'), NaN where nothing was computed yet; of a transposed convolution the sums
    so far, with the border that padding cuts off.
    """

    picture: Picture
    text: str
    output: npt.NDArray[Any]


def frames(
    shape: Geometry, x: npt.NDArray[Any] | None = None, weight: npt.NDArray[Any] | None = None
) -> list[Frame]:
    """Return the frames of a geometry.

    Parameters
    ----------
    shape : Geometry
    x : (H, W), optional
        The image; small whole numbers if left out.
    weight : (kh, kw), optional
        The kernel; small whole numbers if left out.

    Raises
    ------
    ValueError
        If there would be more than `MOST_FRAMES` frames, or cells too small for numbers.
    """
    own = shape.numbers()
    x = own[0] if x is None else np.asarray(x, float)
    weight = own[1] if weight is None else np.asarray(weight, float)
    for name, array, size in (("x", x, shape.size), ("weight", weight, shape.kernel)):
        if array.shape != size:
            raise ValueError(f"frames: {name} has shape {array.shape}; the geometry's is {size}")
    steps = x.size if shape.transposed else shape.out[0] * shape.out[1]
    if steps > MOST_FRAMES:
        raise ValueError(
            f"animate: there would be {steps} frames;"
            f" at most {MOST_FRAMES} are drawn, so use a smaller size"
        )
    stage = _Stage(shape, x, weight)
    make = _stamp_frame if shape.transposed else _gather_frame
    return [make(stage, step) for step in range(steps)]


class _Stage:
    """What all frames have in common: the arrays, and where they are drawn."""

    def __init__(self, shape: Geometry, x: npt.NDArray[Any], weight: npt.NDArray[Any]) -> None:
        self.shape, self.x, self.weight = shape, x, weight
        self.full = shape.apply(x, weight)
        (ph, pw) = shape.padding
        if shape.transposed:
            self.source, self.border = x, (0, 0)
        else:
            self.source, self.border = np.pad(x, ((ph, ph), (pw, pw))), (ph, pw)
        columns = self.source.shape[1] + weight.shape[1] + self.full.shape[1]
        self.cell = min(_SIDE, (PAGE_WIDTH - 2 * _GAP - 12) / columns)
        if self.cell < _LEAST_SIDE:
            raise ValueError(
                f"animate: input, kernel and output are {columns} pixels wide together, so their"
                " numbers could not be read; use a smaller size"
            )
        self.left_kernel = 4 + self.source.shape[1] * self.cell + _GAP
        self.left_output = self.left_kernel + weight.shape[1] * self.cell + _GAP
        width = self.left_output + self.full.shape[1] * self.cell + 4
        longest = "output (00, 00) = 000" + "0·0 + " * min(_IN_FULL, weight.size)
        self.width = max(width, text_width(shape.title) + 8, text_width(longest) + 8)
        rows = max(self.source.shape[0], self.full.shape[0], weight.shape[0])
        self.height = _TOP + rows * self.cell + 36

    def picture(self, heading: str, text: str) -> Picture:
        """Return a picture with titles and the kernel."""
        picture = Picture(self.width, self.height)
        picture.words(4, 12, self.shape.title, anchor="start", bold=True)
        for x, word in (
            (4.0, "input"),
            (self.left_kernel, "kernel"),
            (self.left_output, heading),
        ):
            picture.words(x, _TOP - 16, word, anchor="start", colour=MUTED)
        fills = np.full(self.weight.shape, FILLS["amber"], object)
        picture.grid(self.left_kernel, _TOP, self.weight, cell=self.cell, fills=fills,
                     about="kernel")  # fmt: skip
        picture.words(4, self.height - 14, text, anchor="start")
        return picture

    def draw_source(self, picture: Picture, lit: set[tuple[int, int]]) -> None:
        """Draw the input with its padding; pixels that are used in this frame in amber."""
        top, left = self.border
        high, wide = self.shape.size
        for (row, column), value in np.ndenumerate(self.source):
            inside = top <= row < top + high and left <= column < left + wide
            fill = FILLS["blue"] if inside else PAPER
            fill = FILLS["amber"] if (row, column) in lit else fill
            place = 4 + column * self.cell, _TOP + row * self.cell
            about = f"{'input' if inside else 'padding'} {row},{column}"
            picture.cell(*place, self.cell, f"{value:g}", fill=fill, dashed=not inside, about=about)


def _reach(shape: Geometry, row: int, column: int) -> list[tuple[int, int]]:
    """Return where the taps lie, in the padded image, when the window is at (row, column)."""
    kh, kw = shape.kernel
    return [
        (row * shape.stride[0] + i * shape.dilation[0],
         column * shape.stride[1] + j * shape.dilation[1])
        for i in range(kh)
        for j in range(kw)
    ]  # fmt: skip


def _sum_text(factors: list[tuple[float, float]], total: float) -> str:
    if len(factors) > _IN_FULL:
        return f"the sum of {len(factors)} products is {total:g}"
    return " + ".join(f"{a:g}·{b:g}" for a, b in factors) + f" = {total:g}"


def _frame_around(
    picture: Picture, stage: _Stage, left: float, reach: list[tuple[int, int]]
) -> None:
    rows, columns = [row for row, _ in reach], [column for _, column in reach]
    picture.box(
        left + min(columns) * stage.cell, _TOP + min(rows) * stage.cell,
        (max(columns) - min(columns) + 1) * stage.cell, (max(rows) - min(rows) + 1) * stage.cell,
        stroke=ACCENT, line=3, about="window",
    )  # fmt: skip


def _gather_frame(stage: _Stage, step: int) -> Frame:
    shape = stage.shape
    row, column = divmod(step, shape.out[1])
    reach = _reach(shape, row, column)
    factors = [
        (float(stage.source[place]), float(tap))
        for place, tap in zip(reach, stage.weight.ravel(), strict=True)
    ]
    so_far = np.full(shape.out, np.nan)
    so_far.ravel()[: step + 1] = stage.full.ravel()[: step + 1]
    sums = _sum_text(factors, float(stage.full[row, column]))
    text = f"output ({row}, {column}) = {sums}"
    picture = stage.picture("output", text)
    stage.draw_source(picture, set(reach))
    _frame_around(picture, stage, 4, reach)
    for (r, c), value in np.ndenumerate(so_far):
        there = not np.isnan(value)
        fill = FILLS["green"] if there else PAPER
        fill = FILLS["amber"] if (r, c) == (row, column) else fill
        place = stage.left_output + c * stage.cell, _TOP + r * stage.cell
        picture.cell(*place, stage.cell, f"{value:g}" if there else "", fill=fill,
                     about=f"output {r},{c}")  # fmt: skip
    return Frame(picture, text, so_far)


def _stamp_frame(stage: _Stage, step: int) -> Frame:
    shape = stage.shape
    row, column = divmod(step, shape.size[1])
    part = np.zeros(shape.size)
    part.ravel()[: step + 1] = stage.x.ravel()[: step + 1]
    so_far = shape.apply(part, stage.weight)
    value = float(stage.x[row, column])
    text = f"input ({row}, {column}) = {value:g}: the kernel times {value:g} is added at the frame"
    cut = any(shape.padding)
    picture = stage.picture("output; dashed: cut off" if cut else "output", text)
    stage.draw_source(picture, {(row, column)})
    (ph, pw), (high, wide) = shape.padding, so_far.shape
    reach = _reach(shape, row, column)
    for (r, c), number in np.ndenumerate(so_far):
        kept = ph <= r < high - ph and pw <= c < wide - pw
        fill = FILLS["green"] if kept else PAPER
        fill = FILLS["amber"] if (r, c) in reach else fill
        place = stage.left_output + c * stage.cell, _TOP + r * stage.cell
        picture.cell(*place, stage.cell, f"{number:g}", fill=fill, dashed=not kept,
                     about=f"{'output' if kept else 'cut'} {r},{c}")  # fmt: skip
    _frame_around(picture, stage, stage.left_output, reach)
    return Frame(picture, text, so_far)
