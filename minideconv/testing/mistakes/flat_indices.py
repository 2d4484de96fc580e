"""Windows, pixels and taps that are numbered one after the other, by the wrong length of a row.

Entry (i, j) of H rows and W columns is number i W + j. Students write i H + j, which is right for
squares only: numbers are left out, meet, or are out of bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from minideconv.testing.error_kinds import INDEX, Fails
from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import (
    Mistake,
    Right,
    given,
    mistake,
    register,
    right_values,
    slip,
    twist,
)
from minideconv.testing.mistakes.edges import READING, WRITING, Edge, as_it_is
from minideconv.testing.mistakes.im2col import window_count
from minideconv.testing.mistakes.indices import (
    backward_by_w,
    backward_by_x,
    forward,
    read,
    tables,
    write,
)
from minideconv.testing.operations.conv import windows
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["misread", "miswritten"]

WINDOWS = "windows numbered with H' in place of W'"
WINDOW = "Window (i, j) is number i·W' + j, and number l is (l // W', l % W'); the code has H'."
PIXELS = "pixels numbered with H in place of W"
PIXEL = "Pixel (i, j) of {} is number i·W + j, and number l is (l // W, l % W); the code has H."
TAPS = "taps numbered with kh in place of kw"
TAP = "Tap (a, e) of channel c is number (c·kh + a)·kw + e; the code has kh for kw."


def _places(height: int, width: int) -> Array:
    """Return the wrong number of each entry: i H + j."""
    return (np.arange(height)[:, None] * height + np.arange(width)).ravel()


def misread(array: Array, guarded: bool) -> Array:
    """Take entry (i, j) of the last two axes from number i H + j; zeros beyond if `guarded`."""
    height, width = array.shape[2:]
    return _from(array, _places(height, width), guarded)


def _from(array: Array, places: Array, guarded: bool) -> Array:
    flat = array.reshape(*array.shape[:2], -1)
    beyond = places >= flat.shape[2]
    if beyond.any() and not guarded:
        raise Fails(INDEX)
    taken = flat[:, :, np.where(beyond, 0, places)] * ~beyond
    return taken.reshape(*array.shape[:2], *array.shape[2:])


def miswritten(array: Array, guarded: bool) -> Array:
    """Put entry (i, j) of the last two axes to number i H + j; those beyond are lost."""
    height, width = array.shape[2:]
    return _to(array, _places(height, width), guarded)


def _to(array: Array, places: Array, guarded: bool) -> Array:
    flat = array.reshape(*array.shape[:2], -1)
    inside = places < flat.shape[2]
    if not inside.all() and not guarded:
        raise Fails(INDEX)
    result = np.zeros_like(flat)
    for source, place in enumerate(places):  # the last of those that meet is kept
        if inside[source]:
            result[:, :, place] = flat[:, :, source]
    return result.reshape(array.shape)


def _rows(channels: int, kernel: Pair, of_channels: bool) -> Array:
    """Return the wrong number of each tap: (c kh + a) kh + e, or c kh kw + a kh + e."""
    kh, kw = kernel
    c, a, e = np.ix_(np.arange(channels), np.arange(kh), np.arange(kw))
    places: Array = c * kh * (kh if of_channels else kw) + a * kh + e
    return places.ravel()


def _of_windows(operation: str, output: str, changes: list[Callable[..., Array]]) -> None:
    register(Mistake(operation, output, WINDOWS, WINDOW, changes[0], variants=tuple(changes[1:])))


# Columns ----------------------------------------------------------------------------------------


def _cut(arrays: Arrays, settings: Settings, edge: Edge = as_it_is) -> Array:
    """Windows (l // H', l % H') of im2col: they form a grid of W' rows and H' columns."""
    x, kernel = given(arrays, "x"), settings["kernel_size"]
    where = tables(settings, kernel, window_count(x.shape[2:], settings)[::-1])
    seen = read(x, edge(where, x.shape[2:], settings["padding"]))
    n, c, rows, columns, kh, kw = seen.shape
    return seen.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * kh * kw, rows * columns)


def _pasted(arrays: Arrays, settings: Settings, edge: Edge = as_it_is) -> Array:
    """Add windows (l // H', l % H') of col2im."""
    columns, kernel = given(arrays, "columns"), settings["kernel_size"]
    size = settings["output_size"]
    count = window_count(size, settings)[::-1]
    parts = columns.reshape(len(columns), -1, *kernel, *count).transpose(0, 1, 4, 5, 2, 3)
    where = edge(tables(settings, kernel, count), size, settings["padding"])
    return write(parts, where, size)


def _of_columns(
    arrays: Arrays,
    settings: Settings,
    operation: str,
    change: Callable[[Array, Pair, Pair], Array],
) -> Array:
    """Change the columns that im2col returns, or that col2im is given."""
    right = right_values(operation, "columns" if operation == "im2col" else "x")
    kernel: Pair = settings["kernel_size"]
    if operation == "im2col":
        count = window_count(given(arrays, "x").shape[2:], settings)
        return change(right(arrays, settings), kernel, count)
    count = window_count(settings["output_size"], settings)
    columns = change(given(arrays, "columns"), kernel, count)
    return right({**arrays, "columns": columns}, settings)


def _columns_changed(
    move: Callable[[Array, Array, bool], Array], guarded: bool, columns: Array, _k: Pair, n: Pair
) -> Array:
    wide = columns.reshape(*columns.shape[:2], *n)
    return move(wide, _places(*n), guarded).reshape(columns.shape)


def _rows_changed(
    move: Callable[[Array, Array, bool], Array],
    guarded: bool,
    of_channels: bool,
    columns: Array,
    kernel: Pair,
    _n: Pair,
) -> Array:
    places = _rows(columns.shape[1] // (kernel[0] * kernel[1]), kernel, of_channels)
    turned = columns.swapaxes(1, 2)
    wide = move(turned[:, :, None], places, guarded)
    return wide[:, :, 0].swapaxes(1, 2)


for _op, _output, _split, _move, _edges in (
    ("im2col", "columns", _cut, _to, READING),
    ("col2im", "x", _pasted, _from, WRITING),
):
    _built: list[Callable[..., Array]] = [
        partial(_of_columns, operation=_op, change=partial(_columns_changed, _move, guarded))
        for guarded in (False, True)
    ]
    _of_windows(_op, _output, [*_built, _split, *(partial(_split, edge=e) for e in _edges)])
    _taps = [
        partial(
            _of_columns, operation=_op, change=partial(_rows_changed, _move, guarded, of_channels)
        )
        for of_channels in (False, True)
        for guarded in (False, True)
    ]
    register(Mistake(_op, _output, TAPS, TAP, _taps[0], variants=tuple(_taps[1:])))


# Convolution ------------------------------------------------------------------------------------


def _counts(arrays: Arrays, settings: Settings) -> Pair:
    x, w = given(arrays, "x").shape[2:], given(arrays, "w").shape[2:]
    numbers = (settings[name] for name in ("stride", "padding", "dilation"))
    return windows((x[0], x[1]), (w[0], w[1]), *numbers)


def _slid(arrays: Arrays, settings: Settings, edge: Edge = as_it_is) -> Array:
    """Windows (l // H', l % H') of conv2d."""
    x, w, b = given(arrays, "x"), given(arrays, "w"), arrays["b"]
    count = _counts(arrays, settings)
    where = edge(tables(settings, w.shape[2:], count[::-1]), x.shape[2:], settings["padding"])
    y = forward(x, w, settings["groups"], where)
    y = y.reshape(*y.shape[:2], *count)
    return y if b is None else y + b[:, None, None]


def _slid_back(arrays: Arrays, settings: Settings, output: str, edge: Edge = as_it_is) -> Array:
    """Return a gradient of conv2d by windows (l // H', l % H')."""
    dy, x, w = (given(arrays, role) for role in ("dy", "x", "w"))
    dy = dy.reshape(*dy.shape[:2], *dy.shape[:1:-1])
    where = tables(settings, w.shape[2:], dy.shape[2:])
    where = edge(where, x.shape[2:], settings["padding"])
    if output == "dx":
        return backward_by_x(dy, w, settings["groups"], where, x.shape[2:])
    return backward_by_w(dy, x, w.shape, settings["groups"], where)


def _numbered(
    arrays: Arrays, settings: Settings, operation: str, output: str, role: str, guarded: bool
) -> Array:
    """Read an argument by wrong numbers."""
    changed = {**arrays, role: misread(given(arrays, role), guarded)}
    return right_values(operation, output)(changed, settings)


def _put(
    arrays: Arrays, settings: Settings, operation: str, output: str, guarded: bool, last: bool
) -> Array:
    """Write a result by wrong numbers; its bias first or last."""
    b = arrays.get("b") if last else None
    right = right_values(operation, output)
    y = miswritten(right(arrays if b is None else {**arrays, "b": None}, settings), guarded)
    return y if b is None else y + b[:, None, None]


_BOTH = (False, True)
_of_windows("conv2d", "y", [
    *(partial(_put, operation="conv2d", output="y", guarded=g, last=last)
      for g in _BOTH for last in _BOTH),
    _slid, *(partial(_slid, edge=e) for e in READING),
])  # fmt: skip
for _output, _edges in (("dx", WRITING), ("dw", READING)):
    _of_windows("conv2d_backward", _output, [
        *(partial(_numbered, operation="conv2d_backward", output=_output, role="dy", guarded=g)
          for g in _BOTH),
        partial(_slid_back, output=_output),
        *(partial(_slid_back, output=_output, edge=e) for e in _edges),
    ])  # fmt: skip
for _op, _output in (("conv_transpose2d", "y"), ("conv_transpose2d_backward", "dw")):
    _read = [partial(_numbered, operation=_op, output=_output, role="x", guarded=g) for g in _BOTH]
    _sentence = PIXEL.format("x")
    register(Mistake(_op, _output, PIXELS, _sentence, _read[0], variants=tuple(_read[1:])))
_written = [
    partial(_put, operation="conv_transpose2d_backward", output="dx", guarded=g, last=False)
    for g in _BOTH
]
register(Mistake("conv_transpose2d_backward", "dx", PIXELS, PIXEL.format("dx"), _written[0],
                 variants=tuple(_written[1:])))  # fmt: skip


def _kernel(w: Array, of_channels: bool, guarded: bool) -> Array:
    """Read the taps of each kernel, all of its channels in a row, by wrong numbers."""
    flat = w.reshape(len(w), 1, 1, -1)
    kernel = (w.shape[2], w.shape[3])
    return _from(flat, _rows(w.shape[1], kernel, of_channels), guarded).reshape(w.shape)


for _op, _output in (
    ("conv2d", "y"),
    ("conv2d_backward", "dx"),
    ("conv_transpose2d", "y"),
    ("conv_transpose2d_backward", "dx"),
):
    for _channels in _BOTH:
        for _guarded in _BOTH:

            @mistake(_op, _output, TAPS, TAP)
            def _taps_misread(
                arrays: Arrays,
                settings: Settings,
                right: Right,
                channels: bool = _channels,
                guarded: bool = _guarded,
            ) -> Array:
                w = _kernel(given(arrays, "w"), channels, guarded)
                return right({**arrays, "w": w}, settings)


for _op in ("conv2d_backward", "conv_transpose2d_backward"):
    for _channels in _BOTH:

        @twist(_op, "dw", TAPS, TAP)
        def _taps_miswritten(
            result: Array, arrays: Arrays, settings: Settings, channels: bool = _channels
        ) -> Array:
            flat = result.reshape(len(result), 1, 1, -1)
            kernel = (result.shape[2], result.shape[3])
            return _to(flat, _rows(result.shape[1], kernel, channels), False).reshape(result.shape)


# Height and width interchanged in a reshape -----------------------------------------------------

for _op, _output, _role, _letters in (
    ("conv2d_backward", "dx", "dy", "W', H'"),
    ("conv2d_backward", "dw", "dy", "W', H'"),
    ("conv_transpose2d", "y", "x", "W, H"),
    ("conv_transpose2d_backward", "dw", "x", "W, H"),
):

    @slip(_op, _output, f"height and width of {_role} interchanged in a reshape",
          f"{_role}, or what is made of it, is reshaped to (.., {_letters}); its rows come first.",
          )  # fmt: skip
    def _turned(arrays: Arrays, settings: Settings, role: str = _role) -> None:
        a = given(arrays, role)
        arrays[role] = a.reshape(*a.shape[:2], *a.shape[:1:-1]).swapaxes(2, 3)
