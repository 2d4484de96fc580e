"""Wrong versions of col2im."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import Right, given, mistake, slip, twist
from minideconv.testing.mistakes.edges import WRITING, Edge, as_it_is
from minideconv.testing.mistakes.guards import GUARDS, guarded_crops
from minideconv.testing.mistakes.im2col import NAMES, ORDER, window_count
from minideconv.testing.mistakes.indexing import indexing_mistakes
from minideconv.testing.mistakes.indices import Tables, tables, write
from minideconv.testing.mistakes.results import scale_twists
from minideconv.testing.mistakes.settings import settings_mistakes
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank


def _windows(columns: Array, kernel: Pair, count: Pair) -> Array:
    """Return columns as windows: the reverse of `_columns`."""
    parts = columns.reshape(len(columns), -1, *kernel, *count)
    return parts.transpose(0, 1, 4, 5, 2, 3)


def _placed(arrays: Arrays, wrong: Settings, settings: Settings, edge: Edge = as_it_is) -> Array:
    kernel, size = settings["kernel_size"], settings["output_size"]
    count = window_count(size, settings)
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
        count = window_count(settings["output_size"], settings)
        return change(given(arrays, "columns"), settings, count)


def _added(parts: Array, settings: Settings, count: Pair) -> Array:
    return write(parts, tables(settings, settings["kernel_size"], count), settings["output_size"])


def _reordered(name: str, sentence: str, change: Callable[[Array, Pair, Pair], Array]) -> None:
    """Register columns whose rows are read in another order."""

    @slip("col2im", "x", name, sentence)
    def _turned(arrays: Arrays, settings: Settings) -> None:
        count = window_count(settings["output_size"], settings)
        parts = change(given(arrays, "columns"), settings["kernel_size"], count)
        n, c, rows, columns, kh, kw = parts.shape
        flat = parts.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * kh * kw, rows * columns)
        arrays["columns"] = flat


def _channels(columns: Array, kernel: Pair) -> int:
    return columns.shape[1] // (kernel[0] * kernel[1])


_reordered("rows in the order (kh, kw, C)", ORDER,
           lambda c, k, n: c.reshape(len(c), *k, -1, *n).transpose(0, 3, 4, 5, 1, 2))  # fmt: skip
_reordered("rows in the order (C, kw, kh)", ORDER,
           lambda c, k, n: c.reshape(len(c), -1, *k[::-1], *n).transpose(0, 1, 4, 5, 3, 2),
           )  # fmt: skip
_reordered("rows in the order (kh, C, kw)", ORDER,
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


_OVER = (
    "Where windows overlap, the last one overwrites the others (=); they add up (+=). "
    "x[index] += v keeps one of several, too: np.add.at."
)
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
for _crop in (
    lambda c, p, n: c[:, :, p[0] : -p[0], p[1] : -p[1]],
    lambda c, p, n: c[:, :, p[0] : -p[0], p[1] : -p[1]] if max(p) else c,
):
    _cropped("cropped with [p:-p], which is empty without padding",
             "A slice [0:-0] is empty, of one axis, too; cut off [p:p + size].", _crop)  # fmt: skip
for _words, _why, _guard in GUARDS:
    for _crop in guarded_crops(_guard):
        _cropped(f"cropped {_words}", _why, _crop)


@mistake("col2im", "x", "pixels that no window reached left out",
         "The image ends with the last window; it has output_size, with zeros where none was.",
         )  # fmt: skip
def _without_remainder(arrays: Arrays, settings: Settings, right: Right) -> Array:
    x = right(arrays, settings)
    count = window_count(settings["output_size"], settings)
    ends = [
        (n - 1) * s + d * (k - 1) + 1 - 2 * p
        for n, k, s, p, d in zip(count, *(settings[name] for name in NAMES), strict=True)
    ]
    return x[:, :, : max(0, ends[0]), : max(0, ends[1])]


for _change in (
    lambda y: y.transpose(1, 0, 2, 3).reshape(y.shape),
    lambda y: y.reshape(*y.shape[:2], *y.shape[:1:-1]).swapaxes(2, 3),
):

    @twist("col2im", "x", "axes mixed up by reshape",
           "The result is reshaped where its axes must be transposed.")  # fmt: skip
    def _mixed_up(
        result: Array, arrays: Arrays, settings: Settings, change: Callable[..., Array] = _change
    ) -> Array:
        return change(result)


@twist("col2im", "x", "rows and columns interchanged",
       "The image is (N, C, W, H); it must be (N, C, H, W).")  # fmt: skip
def _interchanged(result: Array, arrays: Arrays, settings: Settings) -> Array:
    return result.swapaxes(2, 3)
