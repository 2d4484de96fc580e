"""Wrong versions of im2col."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import Right, given, mistake, twist
from minideconv.testing.mistakes.borders import border_mistakes
from minideconv.testing.mistakes.edges import READING, Edge, as_it_is
from minideconv.testing.mistakes.indexing import indexing_mistakes
from minideconv.testing.mistakes.indices import read, tables
from minideconv.testing.mistakes.output_sizes import conv_size_mistakes
from minideconv.testing.mistakes.results import scale_twists
from minideconv.testing.mistakes.settings import settings_mistakes
from minideconv.testing.operations.conv import windows
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["NAMES", "ORDER", "window_count"]

NAMES = ("kernel_size", "stride", "padding", "dilation")


def _columns(seen: Array) -> Array:
    """Lay windows (N, C, H', W', kh, kw) out as columns (N, C kh kw, H' W')."""
    n, c, rows, columns, kh, kw = seen.shape
    return seen.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * kh * kw, rows * columns)


def window_count(size: tuple[int, ...], settings: Settings) -> Pair:
    """Return how many windows there are along each axis of an image of this size."""
    return windows((size[0], size[1]), *(settings[name] for name in NAMES))


def _read(arrays: Arrays, wrong: Settings, settings: Settings, edge: Edge = as_it_is) -> Array:
    x, kernel = given(arrays, "x"), wrong["kernel_size"]
    where = tables(wrong, kernel, window_count(x.shape[2:], settings))
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
        where = tables(settings, settings["kernel_size"], window_count(x.shape[2:], settings))
        return change(read(x, where))


def _order(*axes: int) -> Callable[[Array], Array]:
    """Lay windows out with the kernel and channel axes in another order."""

    def change(seen: Array) -> Array:
        n, _, rows, columns = seen.shape[:4]
        return seen.transpose(0, *axes, 2, 3).reshape(n, -1, rows * columns)

    return change


ORDER = "A row of the columns is (channel, kernel row, kernel column), the last one fastest."
_laid_out("rows in the order (kh, kw, C)", ORDER, _order(4, 5, 1))
_laid_out("rows in the order (C, kw, kh)", ORDER, _order(1, 5, 4))
_laid_out("rows in the order (kh, C, kw)", ORDER, _order(4, 1, 5))
_laid_out("rows in the order (kw, kh, C)", ORDER, _order(5, 4, 1))
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


@twist("im2col", "columns", "axes mixed up by reshape",
       "The result is reshaped where its axes must be transposed.")  # fmt: skip
def _mixed_up(result: Array, arrays: Arrays, settings: Settings) -> Array:
    return result.transpose(1, 0, 2).reshape(result.shape)
