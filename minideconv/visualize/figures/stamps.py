"""What a transposed convolution does, in two pictures: stamps that add up, and zero-stuffing.

*Stamps*: every input pixel lays down the kernel, multiplied by the pixel, and what overlaps is
added. *Zero-stuffing*: put ``stride - 1`` zeros between the pixels, turn the kernel by 180 degrees,
and convolve with stride 1. Both give the same numbers, those of `ops.conv_transpose2d`.

Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), chapter 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.ops import conv_transpose2d
from minideconv.ops.geometry import IntPair, Pair, pairs, receptive_extent
from minideconv.ops.im2col import conv_transpose_window
from minideconv.visualize.figures.picture import Picture, side_by_side
from minideconv.visualize.figures.style import FILLS, HUES, MUTED, PAGE_WIDTH, PAPER, mixed

__all__ = ["single_stamps", "stamps", "stuffed", "zero_stuffing"]

_CELL = 30.0
_DIGIT = 9.0  # the width of one of the numbers, which must not touch
_MOST = 9  # stamps that are told apart


def single_stamps(
    x: npt.NDArray[Any],
    weight: npt.NDArray[Any],
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    dilation: IntPair = 1,
) -> npt.NDArray[Any]:
    """Return what each pixel of an image lays down: ``(H, W), (kh, kw) -> (H W, H', W')``.

    Their sum is ``conv_transpose2d(x, weight)`` of one channel.

    Examples
    --------
    >>> single_stamps(np.array([[10.0, 100.0]]), np.array([[1.0, 2, 3]]), stride=2)[:, 0]
    array([[ 10.,  20.,  30.,   0.,   0.],
           [  0.,   0., 100., 200., 300.]])
    """
    x = np.asarray(x, float)
    each = np.zeros((x.size, 1, *x.shape))
    each.reshape(x.size, -1)[np.arange(x.size), np.arange(x.size)] = x.ravel()
    kernel = np.asarray(weight, float)[None, None]
    laid = conv_transpose2d(
        each, kernel, None, stride, padding, output_padding, dilation=dilation
    )  # fmt: skip
    return np.asarray(laid[:, 0])


def stamps(
    x: npt.NDArray[Any],
    weight: npt.NDArray[Any],
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    dilation: IntPair = 1,
) -> Picture:
    """Draw a transposed convolution of one channel as stamps that become one sum.

    At the left the input, each pixel in a colour of its own; in the middle every stamp, translucent
    in that colour, where it lands; at the right the sum.

    Parameters
    ----------
    x : (H, W)
        At most 9 pixels.
    weight : (kh, kw)
    stride, padding, output_padding, dilation
        As for `ops.conv_transpose2d`.

    Raises
    ------
    ValueError
        If the image has more pixels, or the geometry is impossible.
    """
    x = np.asarray(x, float)
    if x.size > _MOST:
        raise ValueError(f"stamps: x has {x.size} pixels; at most {_MOST} stamps can be told apart")
    options = (stride, padding, output_padding, dilation)
    each = single_stamps(x, weight, *options)
    total = each.sum(axis=0)
    colours = [HUES[k % len(HUES)] for k in range(x.size)]
    cell = min(_cell(total), (PAGE_WIDTH - 60) / (x.shape[1] + 2 * total.shape[1]))

    fills = np.array([mixed(colour, PAPER, 0.45) for colour in colours]).reshape(x.shape)
    source = _board(x, "input", cell)
    source.grid(2, 34, x, cell=cell, fills=fills, about="input")

    laid = _board(total, f"{x.size} stamps", cell)
    laid.grid(2, 34, total, cell=cell, names=np.full(total.shape, ""))
    # A stamp's place is known from its geometry: a value of 0 in it is a stamp too.
    marks = single_stamps(np.ones_like(x), np.ones_like(np.asarray(weight, float)), *options)
    for k, colour in enumerate(colours):
        rows, columns = np.nonzero(marks[k])
        if not rows.size:
            continue
        for row, column in zip(rows, columns, strict=True):
            place = (2 + column * cell, 34 + row * cell)
            laid.box(*place, cell, cell, fill=colour, opacity=0.4, stroke="none",
                     about=f"stamp {k} {row},{column}")  # fmt: skip
        top, left = rows.min(), columns.min()
        high, wide = rows.max() - top + 1, columns.max() - left + 1
        inset = 1.5 * (k % 3)
        laid.box(2 + left * cell + inset, 34 + top * cell + inset, wide * cell - 2 * inset,
                 high * cell - 2 * inset, stroke=mixed(colour, "#000000", 0.7), line=2)  # fmt: skip

    result = _board(total, "their sum", cell)
    several = (marks > 0).sum(axis=0)
    deep = [[mixed("#08306b", PAPER, 0.22 * max(0, n - 1)) for n in row] for row in several]
    result.grid(2, 34, total, cell=cell, fills=deep, about="sum")
    return side_by_side([source, laid, result], gap=22)


def _cell(numbers: npt.NDArray[Any]) -> float:
    """Return the side of a square in which the longest of the numbers has room."""
    return max(_CELL, _DIGIT * max(len(f"{n:g}") for n in numbers.ravel()))


def _board(array: npt.NDArray[Any], title: str, cell: float) -> Picture:
    high, wide = array.shape
    picture = Picture(max(wide * cell + 4, 7.8 * len(title) + 6), 34 + high * cell + 4)
    picture.words(2, 12, title, anchor="start", bold=True)
    return picture


def stuffed(
    shape: Pair, kernel: Pair, stride: Pair, padding: Pair, output_padding: Pair, dilation: Pair
) -> tuple[Pair, list[tuple[int, int]]]:
    """Return the size of the zero-stuffed image, and where its pixels stand, row by row.

    A convolution of it with stride 1, no padding and the kernel turned by 180 degrees is the
    transposed convolution. Along one axis the image has ``(n - 1) s + 1`` pixels, and
    ``d (k - 1) - padding`` zeros around it (a negative number cuts pixels off), `output_padding`
    more at the end.
    """
    edges, size = [], []
    for n, k, s, p, extra, d in zip(
        shape, kernel, stride, padding, output_padding, dilation, strict=True
    ):
        edge = receptive_extent(k, d) - 1 - p
        edges.append(edge)
        size.append((n - 1) * s + 1 + 2 * edge + extra)
    places = [
        (edges[0] + row * stride[0], edges[1] + column * stride[1])
        for row in range(shape[0])
        for column in range(shape[1])
    ]
    return (size[0], size[1]), places


def zero_stuffing(
    x: npt.NDArray[Any],
    weight: npt.NDArray[Any],
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    dilation: IntPair = 1,
) -> Picture:
    """Draw a transposed convolution of one channel as a convolution of a zero-stuffed image.

    From left to right: the input; the same pixels with zeros between and around them, and those
    that `output_padding` adds at the end marked; the kernel, turned by 180 degrees; the result.

    Parameters
    ----------
    x : (H, W)
    weight : (kh, kw)
    stride, padding, output_padding, dilation
        As for `ops.conv_transpose2d`.

    Raises
    ------
    ValueError
        If the geometry is impossible, or the picture would be wider than a page can show.
    """
    x, weight = np.asarray(x, float), np.asarray(weight, float)
    op = "zero_stuffing"
    geometry = pairs(
        op, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
    )
    shape, kernel = (x.shape[0], x.shape[1]), (weight.shape[0], weight.shape[1])
    conv_transpose_window(op, shape, kernel, *geometry.values())
    size, places = stuffed(shape, kernel, *geometry.values())
    plane, fills = np.zeros(size), np.full(size, FILLS["pale"], object)
    extra = geometry["output_padding"]
    fills[size[0] - extra[0] :, :] = FILLS["amber"]
    fills[:, size[1] - extra[1] :] = FILLS["amber"]
    for value, (row, column) in zip(x.ravel(), places, strict=True):
        if 0 <= row < size[0] and 0 <= column < size[1]:
            plane[row, column], fills[row, column] = value, FILLS["blue"]
    result = single_stamps(x, weight, *geometry.values()).sum(axis=0)
    turned = weight[::-1, ::-1]
    cells = x.shape[1] + size[1] + weight.shape[1] + result.shape[1]
    cell = min(_cell(result), (PAGE_WIDTH - 16 - 3 * 18) / cells)
    if cell < 12:
        raise ValueError(
            f"{op}: the picture would be {cells} cells wide; use a smaller image or stride"
        )
    parts = []
    for array, title, colours in (
        (x, "input", np.full(x.shape, FILLS["blue"], object)),
        (plane, f"zeros put in: {size[0]} × {size[1]}", fills),
        (turned, "turned", None),
        (result, "result", np.full(result.shape, FILLS["green"], object)),
    ):
        part = _board(array, title, cell)
        part.grid(2, 34, array, cell=cell, fills=colours, about=title.split()[0].rstrip(":"))
        parts.append(part)
    together = side_by_side(parts, gap=18)
    if not any(extra):
        return together
    picture = Picture(together.width, together.height + 24)
    picture.add(together, 0, 0)
    where = together.height + 10
    picture.box(2, where - 7, 14, 14, fill=FILLS["amber"])
    text = f"output_padding {extra[0]}, {extra[1]}: zeros at the bottom and at the right"
    picture.words(22, where, text, anchor="start", colour=MUTED)
    return picture
