"""Wrong versions of max_pool2d's switches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minideconv.testing.mistakes.bank import Right, given, mistake, twist
from minideconv.testing.mistakes.taps import Taps, index, laid_out, spelled_out
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

Encoding = Callable[[Taps, Array, Array, Array], Any]


def encoded(name: str, sentence: str) -> Callable[[Encoding], None]:
    """Register ``wrong(taps, which, rows, columns)``: another number for a pixel."""

    def register(wrong: Encoding) -> None:
        @twist("max_pool2d", "switches", name, sentence)
        def _switches(result: Array, arrays: Arrays, settings: Settings) -> Array:
            taps = laid_out(arrays, settings)
            rows, columns = np.divmod(result, taps.size[1])
            top, left = taps.starts
            which = (rows - top[:, None]) * taps.kernel[1] + columns - left
            codes: Array = wrong(taps, which, rows, columns)
            return np.broadcast_to(codes, result.shape).astype(np.int64)

    return register


def _corner(taps: Taps) -> tuple[Array, Array]:
    """Return row and column of every window's first pixel that is in the image."""
    top, left = (np.maximum(starts, 0) for starts in taps.starts)
    return top[:, None], left


def _in_cut(taps: Taps, rows: Array, columns: Array) -> tuple[Array, Array]:
    """Return a pixel's place in its window cut at the border, and the width of that."""
    top, left = _corner(taps)
    width = np.minimum(taps.starts[1] + taps.kernel[1], taps.size[1]) - left
    return (rows - top) * width + columns - left, width


@encoded("switches count within the window", "A switch is the pixel's place in its window; it is "
         "its place in the whole plane, row W + column.")  # fmt: skip
def _in_window(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return which


@encoded("switches count within the window", "A switch is the pixel's place in its window cut at "
         "the border; it is its place in the whole plane, row W + column.")  # fmt: skip
def _in_cut_window(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return _in_cut(taps, rows, columns)[0]


CUT = ("place in the cut window decoded as in a whole one", "At the border a window is cut, and "
       "the place in what is left is taken for one in the whole window.")  # fmt: skip


@encoded(*CUT)
def _cut_by_whole_width(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    place, _ = _in_cut(taps, rows, columns)
    top, left = _corner(taps)
    return (top + place // taps.kernel[1]) * taps.size[1] + left + place % taps.kernel[1]


@encoded(*CUT)
def _cut_from_whole_corner(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    place, width = _in_cut(taps, rows, columns)
    top, left = taps.starts
    return (top[:, None] + place // width) * taps.size[1] + left + place % width


@encoded(*CUT)
def _cut_as_whole(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    place, _ = _in_cut(taps, rows, columns)
    top, left = taps.starts
    return (top[:, None] + place // taps.kernel[1]) * taps.size[1] + left + place % taps.kernel[1]


@encoded("window decoded with its height", "Row and column in the window are place // kh and place "
         "% kh; they are place // kw and place % kw.")  # fmt: skip
def _by_window_height(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    (kh, _), (top, left) = taps.kernel, taps.starts
    return (top[:, None] + which // kh) * taps.size[1] + left + which % kh


@encoded("row and column in the window interchanged", "Row and column in the window are place % kw "
         "and place // kw; they are place // kw and place % kw.")  # fmt: skip
def _interchanged(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    (_, kw), (top, left) = taps.kernel, taps.starts
    return (top[:, None] + which % kw) * taps.size[1] + left + which // kw


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


Begin = Callable[[Array, int, Array], Any]
"""``begin(number, padding, start)``: where a window is taken to begin, by its number."""


def begun(name: str, sentence: str, rows: Begin | None, columns: Begin | None) -> None:
    """Register windows that are taken to begin elsewhere, along one axis or both."""

    @encoded(name, sentence)
    def _begun(taps: Taps, which: Array, in_rows: Array, in_columns: Array) -> Array:
        (ph, pw), kw = (-taps.starts[0][0], -taps.starts[1][0]), taps.kernel[1]
        i, j = (np.arange(len(starts)) for starts in taps.starts)
        top = taps.starts[0] if rows is None else rows(i, ph, taps.starts[0])
        left = taps.starts[1] if columns is None else columns(j, pw, taps.starts[1])
        row = np.reshape(top, (-1, 1)) + which // kw
        return row * taps.size[1] + left + which % kw


def _by_number(number: Array, padding: int, start: Array) -> Array:
    return number - padding


def _by_padding(number: Array, padding: int, start: Array) -> Array:
    return np.full_like(number, -padding)


def _unpadded(number: Array, padding: int, start: Array) -> Array:
    return start + padding


def placed(name: str, sentence: str, change: Callable[[Settings], Any]) -> None:
    """Register windows whose maximum is right, and whose place is taken by other settings."""

    @twist("max_pool2d", "switches", name, sentence)
    def _placed(result: Array, arrays: Arrays, settings: Settings) -> Array:
        settings = spelled_out(settings)
        taps = laid_out(arrays, settings)
        rows, columns = np.divmod(result, taps.size[1])
        change(settings)
        (sh, sw), (ph, pw) = settings["stride"], settings["padding"]
        rows = rows - taps.starts[0][:, None] + np.arange(len(taps.starts[0]))[:, None] * sh - ph
        columns = columns - taps.starts[1] + np.arange(len(taps.starts[1])) * sw - pw
        return rows * taps.size[1] + columns


def _set(name: str, places: tuple[int, int], settings: Settings) -> None:
    settings[name] = tuple(settings[name][place] for place in places)


def _by_kernel(settings: Settings) -> None:
    settings["stride"] = settings["kernel_size"]


for _setting in ("stride", "padding"):
    for _name, _places in ((f"{_setting} swapped", (1, 0)),
                           (f"{_setting} of the height used for both axes", (0, 0)),
                           (f"{_setting} of the width used for both axes", (1, 1))):  # fmt: skip
        placed(_name, f"Height and width of the {_setting} are mixed up where a switch is worked "
               f"out; {_setting} is (height, width).",
               partial(_set, _setting, _places))  # fmt: skip
placed("kernel_size taken as the stride", "Switches are worked out as if windows moved by their "
       "own size; they move by the stride.", _by_kernel)  # fmt: skip

for _rows, _columns, _what in (
    (True, True, "row and column"), (True, False, "row"), (False, True, "column")
):  # fmt: skip
    _both = _what == "row and column"
    begun("stride missing in the switches" if _both else f"stride missing in the switches' {_what}",
          "A switch is counted from (i, j); window (i, j) begins at (i sh - ph, j sw - pw).",
          _by_number if _rows else None, _by_number if _columns else None)  # fmt: skip
    begun(f"the window's first {_what} not added", "Of where the window begins, (i sh - ph, j sw - "
          "pw), only the padding is counted.",
          _by_padding if _rows else None, _by_padding if _columns else None)  # fmt: skip
    begun("padding not subtracted in the switches", "Rows and columns are counted from the "
          "padding's corner; the image's is (0, 0).",
          _unpadded if _rows else None, _unpadded if _columns else None)  # fmt: skip


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
    ph, pw = -taps.starts[0][0], -taps.starts[1][0]
    return (rows + ph) * (taps.size[1] + 2 * pw) + columns + pw


@encoded("switches with the padded width as the row's length", "A switch is row (W + 2 pw) + "
         "column; it is row W + column.")  # fmt: skip
def _padded_width(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows * (taps.size[1] + 2 * -taps.starts[1][0]) + columns


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


@encoded("switches count through the images", "A switch is the pixel's place in its channel's "
         "plane plus n H W; it is its place in the plane alone.")  # fmt: skip
def _with_image(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    images = np.arange(which.shape[0]).reshape(-1, 1, 1, 1)
    return (images * taps.size[0] + rows) * taps.size[1] + columns


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


@mistake("max_pool2d", "switches", "maximum looked for in the whole plane",
         "The switch is the first place in the plane that holds the window's maximum; it must be "
         "in the window.")  # fmt: skip
def _in_plane(arrays: Arrays, settings: Settings, right: Right) -> Array:
    x, y = given(arrays, "x"), laid_out(arrays, settings).pixels.max(-1)
    flat = x.reshape(*x.shape[:2], 1, 1, -1)
    return (flat == y[..., None]).argmax(-1)


@mistake("max_pool2d", "switches", "maximum looked for in the whole plane",
         "The switch is the last place in the plane that holds the window's maximum; it must be "
         "in the window.")  # fmt: skip
def _last_in_plane(arrays: Arrays, settings: Settings, right: Right) -> Array:
    x, y = given(arrays, "x"), laid_out(arrays, settings).pixels.max(-1)
    flat = x.reshape(*x.shape[:2], 1, 1, -1)[..., ::-1]
    return flat.shape[-1] - 1 - (flat == y[..., None]).argmax(-1)


for _mode in ("edge", "reflect"):

    @mistake("max_pool2d", "switches", "a pixel's copy in the padding is chosen", "The padding "
             "holds copies of pixels, one of which comes first; padding holds no "
             "pixels.")  # fmt: skip
    def _in_padding(arrays: Arrays, settings: Settings, right: Right, mode: Any = _mode) -> Array:
        (ph, pw), x = settings["padding"], given(arrays, "x")
        copies = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), mode=mode)
        taps = laid_out({"x": copies}, {**settings, "padding": (0, 0)})
        rows, columns = taps.chosen(taps.pixels.argmax(-1))
        return (rows - ph) * x.shape[3] + columns - pw


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


for _rows_last in (False, True):
    for _columns_last in (False, True):

        @mistake("max_pool2d", "switches", "row and column of the maximum found apart",
                 "Of several maxima the row of one and the column of another are taken, where "
                 "there may be no maximum; both are those of the first, row by row.")  # fmt: skip
        def _apart(
            arrays: Arrays,
            settings: Settings,
            right: Right,
            rows_last: bool = _rows_last,
            columns_last: bool = _columns_last,
        ) -> Array:
            taps = laid_out(arrays, settings)
            kh, kw = taps.kernel
            best = taps.pixels == taps.pixels.max(-1, keepdims=True)
            best = best.reshape(*best.shape[:-1], kh, kw)
            row, column = (
                _first_or_last(best.any(-1), rows_last),
                _first_or_last(best.any(-2), columns_last),
            )
            return index(taps, row * kw + column)


def _first_or_last(marked: Array, last: bool) -> Array:
    """Return the place of the first, or the last, that is marked along the last axis."""
    turned = marked[..., ::-1] if last else marked
    place = turned.argmax(-1)
    return marked.shape[-1] - 1 - place if last else place
