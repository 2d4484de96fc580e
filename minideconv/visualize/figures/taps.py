"""The matrix of a convolution with its taps numbered and coloured, and its transpose.

The kernel's entries, its *taps*, are numbered 1, 2, 3, ... row by row; a matrix entry shows which
tap stands there (hue: the row of the kernel, shade: its column), and is empty where no tap does.
The numbers come from `ops.conv_matrix` of a kernel whose entries are 1, 2, 3, ...

Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), section
4.1, for the matrix.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.ops import conv_matrix
from minideconv.ops.geometry import IntPair, pair
from minideconv.visualize.figures.picture import Picture, side_by_side, text_width
from minideconv.visualize.figures.style import ACCENT, MUTED, PAGE_WIDTH, tap_colour

__all__ = ["kernel_picture", "lit_matrix", "numbered_taps", "tap_matrix", "taps_picture"]

_LEFT, _TOP = 34, 44
_LARGEST = 34  # pixels of a cell


def numbered_taps(kernel: IntPair) -> npt.NDArray[np.float64]:
    """Return a kernel whose entries are the numbers of its taps: ``-> (1, 1, kh, kw)``.

    >>> numbered_taps((1, 3)).tolist()
    [[[[1.0, 2.0, 3.0]]]]
    """
    kh, kw = pair(kernel, "kernel", "numbered_taps")
    return np.arange(1.0, kh * kw + 1).reshape(1, 1, kh, kw)


def taps_picture(
    numbers: npt.NDArray[Any], *, width: int, title: str = "", below: str = "", beside: str = "",
    rows: Collection[int] = (), columns: Collection[int] = (), cell: float = 0,
    room: float = PAGE_WIDTH,
) -> Picture:  # fmt: skip
    """Draw a matrix (or image, or kernel) whose entries are numbers of taps.

    Parameters
    ----------
    numbers : (R, C)
        0 is drawn as an empty cell, tap k as its number on its colour.
    width : int
        Columns of the kernel, which the colours go by.
    title, below, beside : str
        What is written above, below, and at the left, upwards.
    rows, columns : collection of int
        These are lit: a thick frame around each, everything else paler.
    cell : float
        Side of a cell in pixels; if left out the largest that fits in `room`, at most 34.
    room : float
        Width there is.
    """
    count, across = np.shape(numbers)
    left = _LEFT if beside else 2.0
    cell = cell or min(_LARGEST, (room - left - 2) / across)
    fits = text_width(below) <= max(across * cell, 200)
    lines = [below] if fits else below.split("; ")
    top, bottom = (_TOP - 8 if title else 2.0), (6 + 18 * len(lines) if below else 2.0)
    texts = max(map(text_width, [title, *lines]))
    wide = max(left + across * cell + 2, left + texts)
    picture = Picture(min(wide, max(room, left + across * cell + 2)), top + count * cell + bottom)
    if title:
        picture.words(left, 12, title, anchor="start", bold=True)
    for (row, column), number in np.ndenumerate(np.asarray(numbers)):
        dark = not (rows or columns) or row in rows or column in columns
        fill = tap_colour(int(number), width) if number else "#ffffff"
        label = f"{number:g}" if number else ""
        x, y = left + column * cell, top + row * cell
        about = f"{row},{column}" if number else ""
        if dark:
            picture.cell(x, y, cell, label, fill=fill, about=about)
        else:  # pale, but its number can still be read
            picture.cell(x, y, cell, label, fill=fill, opacity=0.18, colour=MUTED, about=about)
    for row in rows:
        frame = (left, top + row * cell, across * cell, cell)
        picture.box(*frame, stroke=ACCENT, line=3, about=f"row {row}")
    for column in columns:
        frame = (left + column * cell, top, cell, count * cell)
        picture.box(*frame, stroke=ACCENT, line=3, about=f"column {column}")
    if below:
        for number, line in enumerate(lines):
            y = top + count * cell + 16 + 18 * number
            picture.words(left, y, line, anchor="start", colour=MUTED)
    if beside:
        for row in range(count):
            if cell >= 14 or row % 2 == 0:
                middle = top + (row + 0.5) * cell
                picture.words(left - 6, middle, str(row), anchor="end", size=11, colour=MUTED)
    return picture


def kernel_picture(kernel: IntPair, title: str = "kernel", cell: float = _LARGEST) -> Picture:
    """Draw a kernel's taps with their numbers."""
    numbers = numbered_taps(kernel)[0, 0]
    return taps_picture(numbers, width=numbers.shape[1], title=title, cell=cell)


def tap_matrix(
    size: IntPair,
    kernel: IntPair,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    *,
    transpose: bool = False,
    rows: Collection[int] = (),
    columns: Collection[int] = (),
    title: str = "",
    room: float = PAGE_WIDTH,
) -> Picture:
    """Draw the matrix A of a convolution of one channel: (H' W') rows, (H W) columns.

    Parameters
    ----------
    size : int or (int, int)
        The image's (H, W).
    kernel, stride, padding, dilation : int or (int, int)
        As for `ops.conv2d`.
    transpose : bool
        Draw its transpose, the matrix of `ops.conv_transpose2d`.
    rows, columns : collection of int
        Light these of what is drawn. A row of A is a window, a column of its transpose a stamp.
    title : str
    room : float
        Width there is, in pixels.

    Raises
    ------
    ValueError, TypeError
        If the geometry is impossible, or `rows` or `columns` are not in the matrix.
    """
    taps = numbered_taps(kernel)
    high, wide = pair(size, "size", "tap_matrix")
    matrix = conv_matrix(taps, (high, wide), stride, padding, dilation)
    matrix = matrix.T if transpose else matrix
    for name, chosen, length in (
        ("rows", rows, matrix.shape[0]),
        ("columns", columns, matrix.shape[1]),
    ):
        outside = [place for place in chosen if not 0 <= place < length]
        if outside:
            raise ValueError(
                f"tap_matrix: {name} has {outside[0]}; the matrix has {name} 0..{length - 1}"
            )
    what = ("pixels of x", "output pixels") if transpose else ("output pixels", "pixels of x")
    below = f"{matrix.shape[0]} rows: {what[0]}; {matrix.shape[1]} columns: {what[1]}"
    return taps_picture(
        matrix, width=taps.shape[3], title=title, below=below, beside="row",
        rows=rows, columns=columns, room=room,
    )  # fmt: skip


def lit_matrix(
    size: IntPair,
    kernel: IntPair,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    *,
    output: int = 0,
    transpose: bool = False,
) -> Picture:
    """Draw the matrix with one output pixel lit, and beside it the same taps on the image.

    Row `output` of A is the *window* of output pixel `output`: the taps that it multiplies. Column
    `output` of the transpose holds the same numbers: it is the *stamp* that a transposed
    convolution lays down for its input pixel `output`.

    Parameters
    ----------
    size, kernel, stride, padding, dilation
        As for `tap_matrix`.
    output : int
        Which output pixel of the convolution, counted row by row.
    transpose : bool
        Light the column of the transpose instead of the row of A.
    """
    high, wide = pair(size, "size", "lit_matrix")
    matrix = conv_matrix(numbered_taps(kernel), (high, wide), stride, padding, dilation)
    if not 0 <= output < len(matrix):
        raise ValueError(f"lit_matrix: output is {output}; the outputs are 0..{len(matrix) - 1}")
    kw = pair(kernel, "kernel", "lit_matrix")[1]
    name, where = ("column", "stamp") if transpose else ("row", "window")
    side = min(28.0, 190 / wide)
    image = taps_picture(
        matrix[output].reshape(high, wide), width=kw, cell=side,
        title=f"{where} of pixel {output}",
    )  # fmt: skip
    lit: dict[str, Any] = {f"{name}s": [output], "transpose": transpose}
    whole = tap_matrix(
        size, kernel, stride, padding, dilation, **lit,
        title=("transpose of A" if transpose else "A") + f", {name} {output}",
        room=PAGE_WIDTH - image.width - 24,
    )  # fmt: skip
    return side_by_side([whole, image])
