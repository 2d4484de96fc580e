"""Wrong versions of max_pool2d: which pixel of a window is taken, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.checking.calls import Call
from minideconv.testing.checking.probing import tried, unusual_probes, usual_probes
from minideconv.testing.mistakes.bank import Right, given, mistake
from minideconv.testing.mistakes.parts import one_place_twists, zeros_twist
from minideconv.testing.mistakes.taps import Taps, both, laid_out
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

POOLING = OPERATIONS["max_pool2d"]


# Which pixel --------------------------------------------------------------------------------


@both("minimum in place of the maximum", "Each window's smallest pixel is taken.")
def _minimum(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings, np.inf)
    return taps, taps.pixels.argmin(-1)


@both("minimum in place of the maximum", "Each window's smallest pixel is taken.")
def _minimum_of_zeros(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings, 0)
    return taps, taps.pixels.argmin(-1)


@both("padded with zeros", "The padding counts as pixels of 0, which win where all pixels are "
      "negative; padding never wins (-inf).")  # fmt: skip
def _padded_with_zeros(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings, 0)
    return taps, taps.pixels.argmax(-1)


@both("largest absolute value", "The pixel farthest from 0 is taken, not the largest.")
def _largest_absolute(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings, 0)
    return taps, np.abs(taps.pixels).argmax(-1)


@both("first pixel of each window", "The window's top left pixel is taken, not its largest.")
def _first_pixel(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings)
    return taps, np.zeros(taps.pixels.shape[:-1], int)


@both("first row of each window only", "Only the window's top row is searched.")
def _first_row(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings)
    return taps, taps.pixels[..., : taps.kernel[1]].argmax(-1)


@both("first column of each window only", "Only the window's left column is searched.")
def _first_column(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings)
    return taps, taps.pixels[..., :: taps.kernel[1]].argmax(-1) * taps.kernel[1]


@both("maximum over all channels", "A window spans all channels of the image; each channel is "
      "pooled by itself.")  # fmt: skip
def _over_channels(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings)
    taps.pixels = np.broadcast_to(taps.pixels.max(1, keepdims=True), taps.pixels.shape)
    return taps, taps.pixels.argmax(-1)


@mistake("max_pool2d", "y", "maximum of the whole plane", "Every window gets the largest pixel of "
         "the image; it gets its own.")  # fmt: skip
def _whole_plane(arrays: Arrays, settings: Settings, right: Right) -> Array:
    y = right(arrays, settings)
    return np.broadcast_to(given(arrays, "x").max((2, 3), keepdims=True), y.shape)


# Which image and channel --------------------------------------------------------------------

for _output in ("y", "switches"):
    one_place_twists("max_pool2d", _output, "result")
    zeros_twist("max_pool2d", _output)


# What is made of it -------------------------------------------------------------------------


def _mean(arrays: Arrays, settings: Settings, divisor: str) -> Array:
    taps = laid_out(arrays, settings, 0)
    seen = np.isfinite(laid_out(arrays, settings).pixels).sum(-1)
    return taps.pixels.sum(-1) / (seen if divisor == "pixels" else taps.pixels.shape[-1])


@mistake("max_pool2d", "y", "mean in place of the maximum", "Each window's mean is taken.")
def _mean_of_pixels(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _mean(arrays, settings, "pixels")


@mistake("max_pool2d", "y", "mean in place of the maximum", "Each window's mean is taken.")
def _mean_with_padding(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _mean(arrays, settings, "window")


@mistake("max_pool2d", "y", "sum in place of the maximum", "Each window's sum is taken.")
def _sum(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return laid_out(arrays, settings, 0).pixels.sum(-1)


@mistake("max_pool2d", "y", "absolute value of the pixel farthest from 0",
         "The largest absolute value is returned, not the largest pixel.")  # fmt: skip
def _absolute(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return np.abs(laid_out(arrays, settings, 0).pixels).max(-1)


@mistake("max_pool2d", "y", "maximum begins at 0", "The search for the maximum starts from 0, so "
         "that a window of negative pixels gives 0.")  # fmt: skip
def _begins_at_zero(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return np.maximum(right(arrays, settings), 0)


@mistake("max_pool2d", "switches", "maximum begins at 0", "The search for the maximum starts from "
         "0, so that a window without positive pixels keeps the switch 0.")  # fmt: skip
def _switch_stays_zero(arrays: Arrays, settings: Settings, right: Right) -> Array:
    maxima = laid_out(arrays, settings).pixels.max(-1)
    return np.where(maxima > 0, right(arrays, settings), 0)


# Numbers for minus infinity -----------------------------------------------------------------


def _wrong_number(call: Call, values: Callable[[Arrays, Settings, float], Array]) -> float | None:
    """Return the one number that stands in y in place of maxima, if it explains every y."""
    seen = tried(POOLING, call, [*usual_probes(POOLING), *unusual_probes(POOLING)])
    if any(p.got is None or p.got["y"].shape != p.right["y"].value.shape for p in seen):
        return None
    found = {
        float(number)
        for p in seen
        if p.got is not None
        for number in p.got["y"][p.got["y"] != p.right["y"].value]
    }
    if len(found) != 1:
        return None
    number = found.pop()
    for p in seen:
        arrays, settings = POOLING.call_arguments(p.case)
        if p.got is None or not np.array_equal(p.got["y"], values(arrays, settings, number)):
            return None
    return number


def _padded_maxima(arrays: Arrays, settings: Settings, value: float) -> Array:
    return laid_out(arrays, settings, value).pixels.max(-1)


def _started_maxima(arrays: Arrays, settings: Settings, value: float) -> Array:
    return np.maximum(laid_out(arrays, settings).pixels.max(-1), value)


def _padded_with_finite(call: Call) -> bool:
    return _wrong_number(call, _padded_maxima) is not None


def _started_from_finite(call: Call) -> bool:
    return _wrong_number(call, _started_maxima) is not None


for _value in (-9999.0, -1e9):

    @mistake("max_pool2d", "y", "padded with a finite number", "The padding counts as some "
             "number, which wins where all pixels are smaller; use -inf.",
             recognise=_padded_with_finite)  # fmt: skip
    def _padded(arrays: Arrays, settings: Settings, right: Right, value: float = _value) -> Array:
        return _padded_maxima(arrays, settings, value)

    @mistake("max_pool2d", "y", "maximum begins at a finite number", "The search for the maximum "
             "starts from some number, which stays where all pixels are smaller; start from -inf "
             "or the first pixel.", recognise=_started_from_finite)  # fmt: skip
    def _started(arrays: Arrays, settings: Settings, right: Right, value: float = _value) -> Array:
        return _started_maxima(arrays, settings, value)
