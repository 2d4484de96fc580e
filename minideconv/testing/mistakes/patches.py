"""Wrong versions of im2col and col2im."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import Right, given, mistake, slip, twist
from minideconv.testing.mistakes.borders import border_mistakes
from minideconv.testing.mistakes.edges import READING, WRITING, Edge, as_it_is
from minideconv.testing.mistakes.indexing import indexing_mistakes
from minideconv.testing.mistakes.indices import Tables, read, tables, write
from minideconv.testing.mistakes.output_sizes import conv_size_mistakes
from minideconv.testing.mistakes.results import scale_twists
from minideconv.testing.mistakes.settings import settings_mistakes
from minideconv.testing.operations.conv import windows
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank


def _columns(seen: Array) -> Array:
    """Lay windows (N, C, H', W', kh, kw) out as columns (N, C kh kw, H' W')."""
    n, c, rows, columns, kh, kw = seen.shape
    return seen.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * kh * kw, rows * columns)


def _windows(columns: Array, kernel: Pair, count: Pair) -> Array:
    """Return columns as windows: the reverse of `_columns`."""
    parts = columns.reshape(len(columns), -1, *kernel, *count)
    return parts.transpose(0, 1, 4, 5, 2, 3)


def _count(size: tuple[int, ...], settings: Settings) -> Pair:
    names = ("kernel_size", "stride", "padding", "dilation")
    return windows((size[0], size[1]), *(settings[name] for name in names))


NAMES = ("kernel_size", "stride", "padding", "dilation")

# im2col -----------------------------------------------------------------------------------------


def _read(arrays: Arrays, wrong: Settings, settings: Settings, edge: Edge = as_it_is) -> Array:
    x, kernel = given(arrays, "x"), wrong["kernel_size"]
    where = tables(wrong, kernel, _count(x.shape[2:], settings))
    return _columns(read(x, edge(where, x.shape[2:], wrong["padding"])))


settings_mistakes("im2col", "columns", NAMES, lambda _a, s: s["kernel_size"], _read, READING)
border_mistakes("im2col", "columns", "x")
indexing_mistakes("im2col", "columns", _read, writes=False)
scale_twists("im2col", "columns")


def _laid_out(name: str, sentence: str, change: Callable[[Array], Array]) -> None:
    """Register columns that are made of the right windows in another order."""

    @mistake("im2col", "columns", name, sentence)
    def _wrong(arrays: Arrays, settings: Settings, right: Right) -> Array:
        x = given(arrays, "x")
        where = tables(settings, settings["kernel_size"], _count(x.shape[2:], settings))
        return change(read(x, where))


def _order(*axes: int) -> Callable[[Array], Array]:
    """Lay windows out with the kernel and channel axes in another order."""

    def change(seen: Array) -> Array:
        n, _, rows, columns = seen.shape[:4]
        return seen.transpose(0, *axes, 2, 3).reshape(n, -1, rows * columns)

    return change


_ROWS = "A row of the columns is (channel, kernel row, kernel column), the last one fastest."
_laid_out("rows in the order (kh, kw, C)", _ROWS, _order(4, 5, 1))
_laid_out("rows in the order (C, kw, kh)", _ROWS, _order(1, 5, 4))
_laid_out("rows in the order (kh, C, kw)", _ROWS, _order(4, 1, 5))
_laid_out("rows in the order (kw, kh, C)", _ROWS, _order(5, 4, 1))
_laid_out("windows in column-major order",
          "The windows are numbered down the columns; they are numbered along the rows.",
          lambda v: v.transpose(0, 1, 4, 5, 3, 2).reshape(len(v), -1, v.shape[2] * v.shape[3]),
          )  # fmt: skip
_laid_out("one window a row", "Each row is a window; each column must be one.",
          lambda v: _columns(v).swapaxes(1, 2))  # fmt: skip
_BATCH = "The windows of all images stand in one matrix; the first axis is the image."
_laid_out("one matrix for the whole batch", _BATCH,
          lambda v: _columns(v).transpose(1, 0, 2).reshape(-1, len(v) * v.shape[2] * v.shape[3]),
          )  # fmt: skip
_laid_out("one matrix for the whole batch", _BATCH,
          lambda v: _columns(v).transpose(1, 2, 0).reshape(-1, len(v) * v.shape[2] * v.shape[3]),
          )  # fmt: skip
_laid_out("one matrix for the whole batch", _BATCH,
          lambda v: _columns(v).transpose(0, 2, 1).reshape(-1, _columns(v).shape[1]))  # fmt: skip
_laid_out("axes not merged", "The result has 6 axes; it must have 3: (N, C kh kw, H' W').",
          lambda v: v.transpose(0, 1, 4, 5, 2, 3))  # fmt: skip
_laid_out("axes not merged", "The result has 6 axes; it must have 3: (N, C kh kw, H' W').",
          lambda v: v)  # fmt: skip
for _change in (
    lambda v: v.reshape(len(v), -1, v.shape[2] * v.shape[3]),
    lambda v: _columns(v).transpose(1, 0, 2).reshape(_columns(v).shape),
    lambda v: _columns(v).swapaxes(1, 2).reshape(_columns(v).shape),
    lambda v: v.transpose(0, 2, 3, 1, 4, 5).reshape(_columns(v).shape),
    lambda v: _columns(v).transpose(1, 2, 0).reshape(_columns(v).shape),
):
    _laid_out("axes mixed up by reshape",
              "The windows are reshaped where their axes must be transposed.", _change)  # fmt: skip
_laid_out("kernel flipped", "The pixels of a window are read from the last to the first.",
          lambda v: _columns(v[..., ::-1, ::-1]))  # fmt: skip
_laid_out("kernel flipped upside down", "The rows of a window are read from the last to the first.",
          lambda v: _columns(v[..., ::-1, :]))  # fmt: skip
_laid_out("kernel flipped left to right",
          "The columns of a window are read from the last to the first.",
          lambda v: _columns(v[..., ::-1]))  # fmt: skip
_laid_out("first channel only", "The other channels are left out.",
          lambda v: _columns(v[:, :1]))  # fmt: skip
_laid_out("first channel only", "Every channel gets the first one's pixels.",
          lambda v: _columns(np.repeat(v[:, :1], v.shape[1], 1)))  # fmt: skip
_laid_out("summed over the channels", "The channels are added up; each has rows of its own.",
          lambda v: _columns(v.sum(1, keepdims=True)))  # fmt: skip
_laid_out("first image only", "Every image of the batch gets the first one's windows.",
          lambda v: _columns(np.repeat(v[:1], len(v), 0)))  # fmt: skip
_laid_out("first image only", "The other images are left out.", lambda v: _columns(v)[0])
_laid_out("first image only", "The other images are left out.", lambda v: _columns(v[:1]))
_laid_out("last image only", "Every image of the batch gets the last one's windows.",
          lambda v: _columns(np.repeat(v[-1:], len(v), 0)))  # fmt: skip
_laid_out("the channels in reverse order", "The last channel's rows come first.",
          lambda v: _columns(v[:, ::-1]))  # fmt: skip
_laid_out("without the last row and column of windows",
          "The output size is one too small: (n - k) // s + 1 windows fit.",
          lambda v: _columns(v[:, :, :-1, :-1]))  # fmt: skip
_laid_out("last row and column of the kernel left out",
          "The loops over the kernel stop one too early; the rows stay zero.",
          lambda v: _columns(v * np.outer(*(np.arange(n) < n - 1 for n in v.shape[4:]))),
          )  # fmt: skip


def _of_size(arrays: Arrays, settings: Settings, counts: Pair, edge: Edge) -> Array:
    x = given(arrays, "x")
    where = tables(settings, settings["kernel_size"], counts)
    return _columns(read(x, edge(where, x.shape[2:], settings["padding"])))


def _numbers(arrays: Arrays, settings: Settings) -> dict[str, Pair]:
    height, width = given(arrays, "x").shape[2:]
    names = ("stride", "padding", "dilation")
    return {"image": (height, width), "kernel": settings["kernel_size"]} | {
        name: settings[name] for name in names
    }


conv_size_mistakes("im2col", "columns", _numbers, _of_size)


@mistake("im2col", "columns", "padding multiplied by the stride",
         "Window i begins at (i - padding)·stride; it begins at i·stride - padding.")  # fmt: skip
def _scaled_padding(arrays: Arrays, settings: Settings, right: Right) -> Array:
    more = tuple(p * s for p, s in zip(settings["padding"], settings["stride"], strict=True))
    return _read(arrays, {**settings, "padding": more}, settings)


@mistake("im2col", "columns", "taps spaced by the stride",
         "The stride is used inside the window, too; there the taps are dilation apart.",
         )  # fmt: skip
def _spread(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _read(arrays, {**settings, "dilation": settings["stride"]}, settings)


# col2im -----------------------------------------------------------------------------------------


def _placed(arrays: Arrays, wrong: Settings, settings: Settings, edge: Edge = as_it_is) -> Array:
    kernel, size = settings["kernel_size"], settings["output_size"]
    count = _count(size, settings)
    parts = _windows(given(arrays, "columns"), kernel, count)
    return write(parts, edge(tables(wrong, kernel, count), size, wrong["padding"]), size)


settings_mistakes("col2im", "x", NAMES[1:], lambda _a, s: s["kernel_size"], _placed, WRITING)
scale_twists("col2im", "x")
indexing_mistakes("col2im", "x", _placed, writes=True)


@slip("col2im", "x", "output_size swapped",
      "Height and width of the image are swapped; output_size is (height, width).")  # fmt: skip
def _size_swapped(arrays: Arrays, settings: Settings) -> None:
    settings["output_size"] = settings["output_size"][::-1]


Change = Callable[[Array, Settings, Pair], Array]
"""``change(columns, settings, count)``: the image."""


def _image(name: str, sentence: str, change: Change) -> None:
    @mistake("col2im", "x", name, sentence)
    def _wrong(arrays: Arrays, settings: Settings, right: Right) -> Array:
        count = _count(settings["output_size"], settings)
        return change(given(arrays, "columns"), settings, count)


def _added(parts: Array, settings: Settings, count: Pair) -> Array:
    return write(parts, tables(settings, settings["kernel_size"], count), settings["output_size"])


def _reordered(name: str, sentence: str, change: Callable[[Array, Pair, Pair], Array]) -> None:
    """Register columns whose rows are read in another order."""
    _image(name, sentence,
           lambda c, s, n: _added(change(c, s["kernel_size"], n), s, n))  # fmt: skip


def _channels(columns: Array, kernel: Pair) -> int:
    return columns.shape[1] // (kernel[0] * kernel[1])


_reordered("rows in the order (kh, kw, C)", _ROWS,
           lambda c, k, n: c.reshape(len(c), *k, -1, *n).transpose(0, 3, 4, 5, 1, 2))  # fmt: skip
_reordered("rows in the order (C, kw, kh)", _ROWS,
           lambda c, k, n: c.reshape(len(c), -1, *k[::-1], *n).transpose(0, 1, 4, 5, 3, 2),
           )  # fmt: skip
_reordered("rows in the order (kh, C, kw)", _ROWS,
           lambda c, k, n: c.reshape(len(c), k[0], -1, k[1], *n).transpose(0, 2, 4, 5, 1, 3),
           )  # fmt: skip
_reordered("windows in column-major order",
           "The windows are numbered down the columns; they are numbered along the rows.",
           lambda c, k, n: c.reshape(len(c), -1, *k, *n[::-1]).transpose(0, 1, 5, 4, 2, 3),
           )  # fmt: skip
for _mixed in (
    lambda c, k, n: c.reshape(len(c), -1, *n, *k),
    lambda c, k, n: c.swapaxes(1, 2).reshape(len(c), _channels(c, k), *n, *k),
    lambda c, k, n: c.reshape(-1, len(c), *k, *n).transpose(1, 0, 4, 5, 2, 3),
):
    _reordered("axes mixed up by reshape",
               "The columns are reshaped where their axes must be transposed.", _mixed)  # fmt: skip
_reordered("kernel flipped", "The pixels of a window are written from the last to the first.",
           lambda c, k, n: _windows(c, k, n)[..., ::-1, ::-1])  # fmt: skip
_reordered("kernel flipped upside down",
           "The rows of a window are written from the last to the first.",
           lambda c, k, n: _windows(c, k, n)[..., ::-1, :])  # fmt: skip
_reordered("kernel flipped left to right",
           "The columns of a window are written from the last to the first.",
           lambda c, k, n: _windows(c, k, n)[..., ::-1])  # fmt: skip
_reordered("first image only", "Every image of the batch gets the first one's columns.",
           lambda c, k, n: np.repeat(_windows(c, k, n)[:1], len(c), 0))  # fmt: skip
_reordered("first image only", "The other images are left out.",
           lambda c, k, n: _windows(c, k, n)[:1])  # fmt: skip
_reordered("last image only", "Every image of the batch gets the last one's columns.",
           lambda c, k, n: np.repeat(_windows(c, k, n)[-1:], len(c), 0))  # fmt: skip
_reordered("first channel only", "The other channels are left out.",
           lambda c, k, n: _windows(c, k, n)[:, :1])  # fmt: skip
_reordered("the channels in reverse order", "The last channel comes first.",
           lambda c, k, n: _windows(c, k, n)[:, ::-1])  # fmt: skip
_reordered("last window only", "Every window overwrites all before; they add up (+=).",
           lambda c, k, n: _last(_windows(c, k, n)))  # fmt: skip
_reordered("without the last row and column of windows", "The loops stop one too early.",
           lambda c, k, n: _but_last(_windows(c, k, n)))  # fmt: skip


def _last(parts: Array) -> Array:
    result = np.zeros_like(parts)
    result[:, :, -1, -1] = parts[:, :, -1, -1]
    return result


def _but_last(parts: Array) -> Array:
    result = parts.copy()
    result[:, :, -1] = 0
    result[:, :, :, -1] = 0
    return result


def _overwritten(columns: Array, settings: Settings, count: Pair, by_taps: bool) -> Array:
    kernel, size = settings["kernel_size"], settings["output_size"]
    parts, (rows, cols) = _windows(columns, kernel, count), tables(settings, kernel, count)
    x = np.zeros((*parts.shape[:2], *size))
    windows_, taps = list(np.ndindex(*count)), list(np.ndindex(*kernel))
    visits = [(w, t) for t in taps for w in windows_] if by_taps else [
        (w, t) for w in windows_ for t in taps
    ]  # fmt: skip
    for (i, j), (a, e) in visits:
        r, c = rows[i, a], cols[j, e]
        if 0 <= r < size[0] and 0 <= c < size[1]:
            x[:, :, r, c] = parts[:, :, i, j, a, e]
    return x


_OVER = "Where windows overlap, the last one overwrites the others (=); they add up (+=)."
_image("windows overwritten", _OVER, lambda c, s, n: _overwritten(c, s, n, by_taps=False))
_image("windows overwritten", _OVER, lambda c, s, n: _overwritten(c, s, n, by_taps=True))


def _mean(columns: Array, settings: Settings, count: Pair) -> Array:
    parts = _windows(columns, settings["kernel_size"], count)
    times = _added(np.ones_like(parts[:1, :1]), settings, count)
    return _added(parts, settings, count) / np.maximum(times, 1)


_image("divided by the number of overlapping windows",
       "Pixels are divided by how many windows hold them: the inverse; the transpose adds up.",
       _mean)  # fmt: skip


def _cropped(name: str, sentence: str, crop: Callable[[Array, Pair, Pair], Array]) -> None:
    def change(columns: Array, settings: Settings, count: Pair) -> Array:
        (ph, pw), size = settings["padding"], settings["output_size"]
        kernel = settings["kernel_size"]
        rows, cols = tables(settings, kernel, count)
        where: Tables = (rows + ph, cols + pw)
        larger = (size[0] + 2 * ph, size[1] + 2 * pw)
        canvas = write(_windows(columns, kernel, count), where, larger)
        return crop(canvas, settings["padding"], size)

    _image(name, sentence, change)


_cropped("padding not cropped", "The padded image is returned; the padding is cut off.",
         lambda c, p, n: c)  # fmt: skip
for _crop in (
    lambda c, p, n: c[:, :, p[0] :, p[1] :],
    lambda c, p, n: c[:, :, 2 * p[0] :, 2 * p[1] :],
):
    _cropped("cropped at the top and left only", "The padding is cut off on every side.", _crop)
for _crop in (
    lambda c, p, n: c[:, :, : n[0] + p[0], : n[1] + p[1]],
    lambda c, p, n: c[:, :, : n[0], : n[1]],
):
    _cropped("cropped at the bottom and right only", "The padding is cut off on every side.", _crop)
_cropped("cropped with [p:-p], which is empty without padding",
         "A slice [0:-0] is empty; cut off [p:p + size].",
         lambda c, p, n: c[:, :, p[0] : -p[0], p[1] : -p[1]])  # fmt: skip


@mistake("col2im", "x", "pixels that no window reached left out",
         "The image ends with the last window; it has output_size, with zeros where none was.",
         )  # fmt: skip
def _without_remainder(arrays: Arrays, settings: Settings, right: Right) -> Array:
    x = right(arrays, settings)
    count = _count(settings["output_size"], settings)
    ends = [
        (n - 1) * s + d * (k - 1) + 1 - 2 * p
        for n, k, s, p, d in zip(count, *(settings[name] for name in NAMES), strict=True)
    ]
    return x[:, :, : max(0, ends[0]), : max(0, ends[1])]


for _operation, _output, _change in (
    ("im2col", "columns", lambda y: y.transpose(1, 0, 2).reshape(y.shape)),
    ("col2im", "x", lambda y: y.transpose(1, 0, 2, 3).reshape(y.shape)),
    ("col2im", "x", lambda y: y.reshape(*y.shape[:2], *y.shape[:1:-1]).swapaxes(2, 3)),
):

    @twist(_operation, _output, "axes mixed up by reshape",
           "The result is reshaped where its axes must be transposed.")  # fmt: skip
    def _mixed_up(
        result: Array, arrays: Arrays, settings: Settings, change: Callable[..., Array] = _change
    ) -> Array:
        return change(result)


@twist("col2im", "x", "rows and columns interchanged",
       "The image is (N, C, W, H); it must be (N, C, H, W).")  # fmt: skip
def _interchanged(result: Array, arrays: Arrays, settings: Settings) -> Array:
    return result.swapaxes(2, 3)
