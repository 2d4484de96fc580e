"""Wrong versions of conv_matrix."""

from __future__ import annotations

from functools import partial

import numpy as np

from minideconv.testing.error_kinds import INDEX, Fails
from minideconv.testing.mistakes.bank import (
    Mistake,
    Right,
    Values,
    mistake,
    register,
    right_values,
    slip,
    twist,
    vary,
)
from minideconv.testing.mistakes.edges import READING, Edge, as_it_is
from minideconv.testing.mistakes.indices import tables
from minideconv.testing.mistakes.kernels import kernel_slips
from minideconv.testing.mistakes.settings import settings_mistakes
from minideconv.testing.mistakes.square_kernels import square_kernels
from minideconv.testing.mistakes.weight_orders import weight_orders
from minideconv.testing.operations.conv import windows
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank


def _matrix(arrays: Arrays, wrong: Settings, settings: Settings, edge: Edge = as_it_is) -> Array:
    """Return the matrix of windows placed after the settings `wrong`."""
    w, size = _weight(arrays), settings["size"]
    k, c, kh, kw = w.shape
    count = windows(size, (kh, kw), settings["stride"], settings["padding"], (1, 1))
    rows, columns = edge(
        tables({**wrong, "dilation": (1, 1)}, (kh, kw), count), size, wrong["padding"]
    )
    matrix = np.zeros((k, *count, c, *size), w.dtype)
    for i, j, a, e in np.ndindex(*count, kh, kw):
        row, column = rows[i, a], columns[j, e]
        if 0 <= row < size[0] and 0 <= column < size[1]:
            matrix[:, i, j, :, row, column] += w[:, :, a, e]
    return matrix.reshape(k * count[0] * count[1], c * size[0] * size[1])


settings_mistakes("conv_matrix", "A", ("stride", "padding"),
                  lambda arrays, _s: _weight(arrays).shape[2:], _matrix, READING)  # fmt: skip
kernel_slips("conv_matrix", "A", "this is the matrix of conv2d, which does not turn it.")
square_kernels("conv_matrix", "A", sized=True)
weight_orders("conv_matrix", "A")


def _numbered(name: str, sentence: str, order: tuple[int, ...]) -> None:
    """Register rows and columns numbered in another order of (k, i, j, c, row, column)."""

    @twist("conv_matrix", "A", name, sentence)
    def _wrong(result: Array, arrays: Arrays, settings: Settings) -> Array:
        w, size = _weight(arrays), settings["size"]
        kernel = (w.shape[2], w.shape[3])
        count = windows(size, kernel, settings["stride"], settings["padding"], (1, 1))
        parts = result.reshape(len(w), *count, w.shape[1], *size)
        return parts.transpose(order).reshape(result.shape)


_ROWS = "A row of A is (channel, row, column) of the output, the last one fastest."
_COLUMNS = "A column of A is (channel, row, column) of the image, the last one fastest."
_numbered("outputs numbered with the channel last", _ROWS, (1, 2, 0, 3, 4, 5))
_numbered("outputs numbered column by column", _ROWS, (0, 2, 1, 3, 4, 5))
_numbered("inputs numbered with the channel last", _COLUMNS, (0, 1, 2, 4, 5, 3))
_numbered("inputs numbered column by column", _COLUMNS, (0, 1, 2, 3, 5, 4))


@slip("conv_matrix", "A", "size swapped",
      "Height and width of the image are swapped; size is (height, width).")  # fmt: skip
def _size_swapped(arrays: Arrays, settings: Settings) -> None:
    settings["size"] = settings["size"][::-1]


@mistake("conv_matrix", "A", "transposed",
         "A row is an input pixel; a row of A is an output pixel, its columns are input "
         "pixels.")  # fmt: skip
def _transposed(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return right(arrays, settings).T


@mistake("conv_matrix", "A", "taps on the padding not left out",
         "A tap beside the image is given the pixel at the other end of a row; it has no "
         "column.")  # fmt: skip
def _wrapped(arrays: Arrays, settings: Settings, right: Right) -> Array:
    w = _weight(arrays)
    (k, c, kh, kw), (h, wide) = w.shape, settings["size"]
    (sh, sw), (ph, pw) = settings["stride"], settings["padding"]
    rows, columns = windows((h, wide), (kh, kw), (sh, sw), (ph, pw), (1, 1))
    matrix = np.zeros((k, rows, columns, c, h * wide), w.dtype)
    for i, j, a, e in np.ndindex(rows, columns, kh, kw):
        pixel = (i * sh + a - ph) * wide + j * sw + e - pw
        if -h * wide <= pixel < h * wide:
            matrix[:, i, j, :, pixel] = w[:, :, a, e]
    return matrix.reshape(k * rows * columns, c * h * wide)


def _flat(added: bool, rows_checked: bool, whole: bool) -> Values:
    """Return the matrix of taps whose pixel has a number, if not a place, in the image."""

    def values(arrays: Arrays, settings: Settings) -> Array:
        w = _weight(arrays)
        (k, c, kh, kw), (h, wide) = w.shape, settings["size"]
        (sh, sw), (ph, pw) = settings["stride"], settings["padding"]
        rows, columns = windows((h, wide), (kh, kw), (sh, sw), (ph, pw), (1, 1))
        matrix = np.zeros((k, rows, columns, c * h * wide), w.dtype)
        for i, j, m, a, e in np.ndindex(rows, columns, c, kh, kw):
            row, pixel = i * sh + a - ph, (i * sh + a - ph) * wide + j * sw + e - pw
            place = m * h * wide + pixel
            if (rows_checked and not 0 <= row < h) or not (
                0 <= place < c * h * wide if whole else 0 <= pixel < h * wide
            ):
                continue
            matrix[:, i, j, place] = w[:, m, a, e] + matrix[:, i, j, place] * added
        return matrix.reshape(k * rows * columns, c * h * wide)

    return values


vary("conv_matrix", "A", "taps on the padding not left out", *(
    _flat(added, rows_checked, whole)
    for added in (True, False) for rows_checked in (True, False) for whole in (True, False)
))  # fmt: skip


def _numbered_by_the_image(clipped: bool, added: bool, arrays: Arrays, settings: Settings) -> Array:
    """Return the matrix whose rows are numbered with the width of the image."""
    w, (h, wide) = _weight(arrays), settings["size"]
    kernel = (w.shape[2], w.shape[3])
    count = windows((h, wide), kernel, settings["stride"], settings["padding"], (1, 1))
    right = right_values("conv_matrix", "A")(arrays, settings)
    parts, wrong = right.reshape(len(w), *count, -1), np.zeros_like(right)
    for k, i, j in np.ndindex(len(w), *count):
        row = k * count[0] * count[1] + i * wide + j
        if row >= len(wrong) and not clipped:
            raise Fails(INDEX)
        row, new = min(row, len(wrong) - 1), parts[k, i, j]
        if added:
            wrong[row] += new
        else:
            wrong[row] = np.where(new == 0, wrong[row], new)
    return wrong


for _first in (True, False):
    _ways = [partial(_numbered_by_the_image, clipped, _first) for clipped in (False, True)]
    for _way in _ways:
        register(Mistake("conv_matrix", "A", "rows numbered with the image's width",
                         "Row i·W' + j of A belongs to window (i, j): W' is the output's width, "
                         "not the image's.", _way))  # fmt: skip


@mistake("conv_matrix", "A", "padding of one side only",
         "The image is padded at the top and left as if the padding were 0.")  # fmt: skip
def _not_moved(arrays: Arrays, settings: Settings, right: Right) -> Array:
    w, (h, wide), (ph, pw) = _weight(arrays), settings["size"], settings["padding"]
    larger = {**settings, "size": (h + 2 * ph, wide + 2 * pw), "padding": (0, 0)}
    full = right(arrays, larger).reshape(-1, w.shape[1], h + 2 * ph, wide + 2 * pw)
    return full[:, :, :h, :wide].reshape(len(full), -1)


def _weight(arrays: Arrays) -> Array:
    w = arrays["w"]
    assert w is not None
    return w
