"""Wrong versions of max_pool2d's switches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minideconv.testing.mistakes.bank import Right, mistake
from minideconv.testing.mistakes.max_pool2d import Taps, index, laid_out
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

Encoding = Callable[[Taps, Array, Array, Array], Any]


def encoded(name: str, sentence: str) -> Callable[[Encoding], None]:
    """Register ``wrong(taps, which, rows, columns)``: another number for the right pixel."""

    def register(wrong: Encoding) -> None:
        @mistake("max_pool2d", "switches", name, sentence)
        def _switches(arrays: Arrays, settings: Settings, right: Right) -> Array:
            taps = laid_out(arrays, settings)
            which = taps.pixels.argmax(-1)
            codes: Array = wrong(taps, which, *taps.chosen(which))
            return np.broadcast_to(codes, which.shape).astype(np.int64)

    return register


@encoded("switches count within the window", "A switch is the pixel's place in its window; it is "
         "its place in the whole plane, row W + column.")  # fmt: skip
def _in_window(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return which


@encoded("switches count within the window", "A switch is the pixel's place in its window cut at "
         "the border; it is its place in the whole plane, row W + column.")  # fmt: skip
def _in_cut_window(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    top, left = (np.maximum(starts, 0) for starts in taps.starts)
    right = np.minimum(taps.starts[1] + taps.kernel[1], taps.size[1])
    return (rows - top[:, None]) * (right - left) + columns - left


@encoded("the window's first row and column not added", "A switch is counted from the window's "
         "corner, not from the image's.")  # fmt: skip
def _without_start(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return which // taps.kernel[1] * taps.size[1] + which % taps.kernel[1]


@encoded("the window's first row not added", "The row of a switch is counted from the window's "
         "top, not from the image's.")  # fmt: skip
def _without_row(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return which // taps.kernel[1] * taps.size[1] + columns


@encoded("the window's first column not added", "The column of a switch is counted from the "
         "window's left side, not from the image's.")  # fmt: skip
def _without_column(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows * taps.size[1] + which % taps.kernel[1]


@encoded("stride missing in the switches", "A switch is counted from (i, j); window (i, j) begins "
         "at (i sh - ph, j sw - pw).")  # fmt: skip
def _without_stride(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    (kw, w), (ph, pw) = (taps.kernel[1], taps.size[1]), taps.padding
    i, j = np.indices(which.shape[2:])
    return (i + which // kw - ph) * w + j + which % kw - pw


@encoded("switches column by column", "A switch is column H + row; it is row W + column.")
def _columns_first(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return columns * taps.size[0] + rows


@encoded("switches with the height as the row's length", "A switch is row H + column; it is "
         "row W + column.")  # fmt: skip
def _height_as_width(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows * taps.size[0] + columns


@encoded("switches with the output's width as the row's length", "A switch is row W' + column; it "
         "is row W + column, with the width of the image that was pooled.")  # fmt: skip
def _output_width(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows * which.shape[3] + columns


@encoded("switches with the window's width as the row's length", "A switch is row kw + column; it "
         "is row W + column.")  # fmt: skip
def _window_width(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows * taps.kernel[1] + columns


@encoded("switches point into the padded image", "Rows and columns count the padding, too; they "
         "are those of the image.")  # fmt: skip
def _in_padded(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    ph, pw = taps.padding
    return (rows + ph) * (taps.size[1] + 2 * pw) + columns + pw


@encoded("padding not subtracted in the switches", "Rows and columns are counted from the "
         "padding's corner; the image's is (0, 0).")  # fmt: skip
def _padding_not_subtracted(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    ph, pw = taps.padding
    return (rows + ph) * taps.size[1] + columns + pw


@encoded("switches with the padded width as the row's length", "A switch is row (W + 2 pw) + "
         "column; it is row W + column.")  # fmt: skip
def _padded_width(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows * (taps.size[1] + 2 * taps.padding[1]) + columns


@encoded("switches count through the whole batch", "A switch is the pixel's place in the whole "
         "array; it is its place in the plane of its image and channel.")  # fmt: skip
def _whole_batch(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    n, c = which.shape[:2]
    planes = np.arange(n * c).reshape(n, c, 1, 1)
    return (planes * taps.size[0] + rows) * taps.size[1] + columns


@encoded("switches count through the channels", "A switch is the pixel's place in its image with "
         "all channels; it is its place in the plane of its channel.")  # fmt: skip
def _whole_image(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    channels = np.arange(which.shape[1]).reshape(-1, 1, 1)
    return (channels * taps.size[0] + rows) * taps.size[1] + columns


@encoded("switches counted from 1", "The first pixel has the number 1; it is 0.")
def _from_one(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows * taps.size[1] + columns + 1


@encoded("switches hold the row only", "The column is missing: row W + column.")
def _row_only(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows


@encoded("switches hold the column only", "The row is missing: row W + column.")
def _column_only(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return columns


@encoded("switches add row and column", "A switch is row + column; it is row W + column.")
def _row_plus_column(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows + columns


@encoded("switches hold the window's number", "A switch is the number of the window; it is the "
         "place of the pixel that won.")  # fmt: skip
def _window_number(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return np.arange(which.shape[2] * which.shape[3]).reshape(which.shape[2:])


@mistake("max_pool2d", "switches", "last maximum in place of the first",
         "Of several maxima the last one is taken (>= in place of >); it is the first, row by "
         "row.")  # fmt: skip
def _last_maximum(arrays: Arrays, settings: Settings, right: Right) -> Array:
    taps = laid_out(arrays, settings)
    last = taps.pixels.shape[-1] - 1 - taps.pixels[..., ::-1].argmax(-1)
    return index(taps, last)


@mistake("max_pool2d", "switches", "first maximum column by column",
         "Of several maxima the first one column by column is taken; it is the first, row by "
         "row.")  # fmt: skip
def _first_by_columns(arrays: Arrays, settings: Settings, right: Right) -> Array:
    taps = laid_out(arrays, settings)
    order = np.arange(taps.pixels.shape[-1]).reshape(taps.kernel).T.ravel()
    return index(taps, order[taps.pixels[..., order].argmax(-1)])


def _by_last_row_or_column(taps: Taps, rows_last: bool, columns_last: bool) -> Array:
    tap = np.arange(taps.pixels.shape[-1]).reshape(taps.kernel)
    order = tap[:: -1 if rows_last else 1, :: -1 if columns_last else 1].ravel()
    return order[taps.pixels[..., order].argmax(-1)]


@mistake("max_pool2d", "switches", "last column of the maxima in a row",
         "Of several maxima in one row the last is taken; it is the first.")  # fmt: skip
def _last_column(arrays: Arrays, settings: Settings, right: Right) -> Array:
    taps = laid_out(arrays, settings)
    return index(taps, _by_last_row_or_column(taps, False, True))


@mistake("max_pool2d", "switches", "last row of the maxima",
         "Of maxima in several rows the last row's is taken; it is the first's.")  # fmt: skip
def _last_row(arrays: Arrays, settings: Settings, right: Right) -> Array:
    taps = laid_out(arrays, settings)
    return index(taps, _by_last_row_or_column(taps, True, False))
