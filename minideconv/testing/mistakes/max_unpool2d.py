"""Wrong versions of max_unpool2d."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minideconv.testing.mistakes.bank import Right, given, mistake, slip
from minideconv.testing.mistakes.max_pool2d_backward import combined
from minideconv.testing.mistakes.parts import (
    first_used,
    one_place_twists,
    reversed_slip,
    windows_left_out,
    zeros_twist,
)
from minideconv.testing.mistakes.planes import (
    DECODINGS,
    PLANES,
    Decode,
    Place,
    blocks,
    decoded,
    scattered,
)
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

FORWARD = "max_unpool2d"


def _register(name: str, sentence: str, decode: Decode) -> None:
    @slip(FORWARD, "x", name, sentence)
    def _decoded(arrays: Arrays, settings: Settings) -> None:
        decoded(decode, arrays, settings)


for _name, _sentence, _decode in DECODINGS:
    _register(_name, _sentence, _decode)


# Several values of one pixel ----------------------------------------------------------------


def _negative(arrays: Arrays) -> bool:
    return bool((given(arrays, "y") < 0).any())


def _several(name: str, sentence: str, how: Callable[[Sequence[float]], float]) -> None:
    shows = _negative if name.startswith("negative") else None

    @mistake(FORWARD, "x", name, sentence, shows=shows)
    def _combined(arrays: Arrays, settings: Settings, right: Right) -> Array:
        return combined(given(arrays, "y"), given(arrays, "switches"), settings["size"], how)


_several("added in place of assigned", "Where several windows chose one pixel their values are "
         "added; the last one, row by row, stays. (Adding is for pooling.)", sum)  # fmt: skip
_several("first value of a pixel kept", "Where several windows chose one pixel the first value "
         "stays; the last one, row by row, does.", lambda values: values[0])  # fmt: skip
_several("values of a pixel averaged", "Where several windows chose one pixel their values are "
         "averaged; the last one, row by row, stays.",
         lambda values: sum(values) / len(values))  # fmt: skip
_several("largest value of a pixel kept", "Where several windows chose one pixel the largest value "
         "stays; the last one, row by row, does.", max)  # fmt: skip
_several("smallest value of a pixel kept", "Where several windows chose one pixel the smallest "
         "value stays; the last one, row by row, does.", min)  # fmt: skip


_several("value farthest from 0 kept", "Where several windows chose one pixel the value farthest "
         "from 0 stays; the last one, row by row, does.",
         lambda values: max(values, key=abs))  # fmt: skip
_several("zeros left out", "A value of 0 is not written (`if v:`), so that an earlier one of its "
         "pixel stays; the last one, row by row, does.",
         lambda values: next((v for v in reversed(values) if v), 0.0))  # fmt: skip
_several("negative values left out", "Only values above 0 are put back (`if v > 0:`); all are.",
         lambda values: next((v for v in reversed(values) if v > 0), 0.0))  # fmt: skip
_several("maximum with what is there", "The largest of a pixel's values and of the 0 that it "
         "begins with stays (np.maximum); the last one, row by row, does.",
         lambda values: max(0.0, *values))  # fmt: skip
_several("first value of a pixel kept", "A value is written where a 0 is (`if x == 0:`), so that "
         "the first one of a pixel stays; the last one, row by row, does.",
         lambda values: next((v for v in values if v), 0.0))  # fmt: skip


@mistake(FORWARD, "x", "last value column by column kept", "Where several windows chose one pixel "
         "the last value column by column stays; it is the last row by row.")  # fmt: skip
def _last_by_columns(arrays: Arrays, settings: Settings, right: Right) -> Array:
    y, switches = (given(arrays, role).swapaxes(2, 3) for role in ("y", "switches"))
    return right({"y": y, "switches": switches}, settings)


@mistake(FORWARD, "x", "values copied to the whole window", "Every pixel of a window gets the "
         "value (nearest-neighbour enlargement); only the one at the switch does.")  # fmt: skip
def _copied(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return blocks(given(arrays, "y"), settings["size"])


@mistake(FORWARD, "x", "values copied to the whole window", "Every pixel of a window gets the "
         "value (nearest-neighbour enlargement); only the one at the switch does.")  # fmt: skip
def _nearest(arrays: Arrays, settings: Settings, right: Right) -> Array:
    y, (h, w) = given(arrays, "y"), settings["size"]
    rows = np.arange(h) * y.shape[2] // h
    columns = np.arange(w) * y.shape[3] // w
    return y[:, :, rows[:, None], columns]


@mistake(FORWARD, "x", "values shared by the whole window", "A value is divided among the pixels "
         "of its window; the one at the switch gets it all.")  # fmt: skip
def _shared(arrays: Arrays, settings: Settings, right: Right) -> Array:
    y, (h, w) = given(arrays, "y"), settings["size"]
    return blocks(y, (h, w)) / max((h // y.shape[2]) * (w // y.shape[3]), 1)


@mistake(FORWARD, "x", "y ignored", "The chosen pixels get 1; they get the values y.")
def _ones(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return right({**arrays, "y": np.ones_like(given(arrays, "y"))}, settings)


@mistake(FORWARD, "x", "switches in place of the values", "The chosen pixels get their switch; "
         "they get the values y.")  # fmt: skip
def _switch_values(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return right({**arrays, "y": given(arrays, "switches")}, settings)


@slip(FORWARD, "x", "size swapped", "Height and width of x are swapped; size is "
      "(height, width).")  # fmt: skip
def _size_swapped(arrays: Arrays, settings: Settings) -> None:
    settings["size"] = settings["size"][::-1]


def _planes(name: str, sentence: str, place: Place) -> None:
    @mistake(FORWARD, "x", name, sentence)
    def _elsewhere(arrays: Arrays, settings: Settings, right: Right) -> Array:
        y, switches = given(arrays, "y"), given(arrays, "switches")
        return scattered(y, switches, settings["size"], place, add=False)


for _name, _sentence, _place in PLANES:
    _planes(_name, _sentence, _place)


@mistake(FORWARD, "x", "planes not emptied in between", "Values of one plane are left in the next "
         "ones; pixels that no window chose are 0.")  # fmt: skip
def _not_emptied(arrays: Arrays, settings: Settings, right: Right) -> Array:
    y, switches = given(arrays, "y"), given(arrays, "switches")
    plane = np.zeros(settings["size"])
    x = np.zeros((*y.shape[:2], *settings["size"]))
    for image, channel in np.ndindex(*y.shape[:2]):
        plane.reshape(-1)[switches[image, channel].ravel()] = y[image, channel].ravel()
        x[image, channel] = plane
    return x


def _filled(name: str, sentence: str, fill: Callable[[Array], float]) -> None:
    @mistake(FORWARD, "x", name, sentence)
    def _other_fill(arrays: Arrays, settings: Settings, right: Right) -> Array:
        chosen = right({**arrays, "y": np.ones_like(given(arrays, "y"))}, settings) == 1
        return np.where(chosen, right(arrays, settings), fill(given(arrays, "y")))


_filled("-inf where no window chose the pixel", "Pixels that no window chose are -inf; they are "
        "0.", lambda y: -np.inf)  # fmt: skip
_filled("NaN where no window chose the pixel", "Pixels that no window chose are NaN; they are 0.",
        lambda y: np.nan)  # fmt: skip
_filled("1 where no window chose the pixel", "Pixels that no window chose are 1; they are 0.",
        lambda y: 1.0)  # fmt: skip
_filled("smallest value where no window chose the pixel", "Pixels that no window chose get the "
        "smallest value; they are 0.", lambda y: float(y.min()))  # fmt: skip


@mistake(FORWARD, "x", "negative values left out", "Values below 0 are put back as 0 "
         "(a relu); all are as they are.", shows=_negative)  # fmt: skip
def _positive_only(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return np.maximum(right(arrays, settings), 0)


@mistake(FORWARD, "x", "y read column by column", "The values are taken column by column, the "
         "switches row by row.")  # fmt: skip
def _transposed(arrays: Arrays, settings: Settings, right: Right) -> Array:
    y = given(arrays, "y")
    return right({**arrays, "y": y.swapaxes(2, 3).reshape(y.shape)}, settings)


@mistake(FORWARD, "x", "left flat", "x has the shape (N, C, H W); it has (N, C, H, W).")
def _flat(arrays: Arrays, settings: Settings, right: Right) -> Array:
    x = right(arrays, settings)
    return x.reshape(*x.shape[:2], -1)


zeros_twist(FORWARD, "x")
first_used(FORWARD, "x", "y", "values")
one_place_twists(FORWARD, "x", "value")
windows_left_out(FORWARD, "x", "y")
reversed_slip(FORWARD, "x", "y")
