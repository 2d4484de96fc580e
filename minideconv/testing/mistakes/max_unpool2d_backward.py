"""Wrong versions of max_unpool2d_backward."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.mistakes.bank import Right, given, mistake, slip, twist
from minideconv.testing.mistakes.max_pool2d_backward import combined
from minideconv.testing.mistakes.parts import one_place_twists, zeros_twist
from minideconv.testing.mistakes.planes import DECODINGS, Decode, decoded
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

BACKWARD = "max_unpool2d_backward"


def _register(name: str, sentence: str, decode: Decode) -> None:
    @slip(BACKWARD, "dy", name, sentence)
    def _decoded(arrays: Arrays, settings: Settings) -> None:
        decoded(decode, arrays, settings)


for _name, _sentence, _decode in DECODINGS:
    _register(_name, _sentence, _decode)


# Several windows that chose one pixel -------------------------------------------------------


def _at_switches(planes: Array, switches: Array) -> Array:
    """Take the pixel of every switch."""
    flat = planes.reshape(*planes.shape[:2], -1)
    chosen = switches.reshape(*switches.shape[:2], -1)
    return np.take_along_axis(flat, chosen, 2).reshape(switches.shape)


@mistake(BACKWARD, "dy", "overwritten values get a gradient", "Where several windows chose one "
         "pixel each gets its gradient (as in PyTorch's backward); only the last value, row by "
         "row, is in x, so the others get 0.")  # fmt: skip
def _all_of_them(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _at_switches(given(arrays, "dx"), given(arrays, "switches"))


def _winners(name: str, sentence: str, turn: tuple[slice, ...], transposed: bool = False) -> None:
    @mistake(BACKWARD, "dy", name, sentence)
    def _other_winner(arrays: Arrays, settings: Settings, right: Right) -> Array:
        switches = given(arrays, "switches")
        if transposed:
            return right({**arrays, "switches": switches.swapaxes(2, 3)}, settings).swapaxes(2, 3)
        return right({**arrays, "switches": switches[turn]}, settings)[turn]


_ALL, _BACK = slice(None), slice(None, None, -1)
_winners("gradient to the first value of a pixel", "Where several windows chose one pixel the "
         "first gets the gradient; the last one, row by row, is in x.",
         (_ALL, _ALL, _BACK, _BACK))  # fmt: skip
_winners("gradient to the last value column by column", "Where several windows chose one pixel the "
         "last one column by column gets the gradient; it is the last row by row.", (),
         transposed=True)  # fmt: skip


def _counts(arrays: Arrays) -> Array:
    """Return for each window how many chose its pixel."""
    switches, size = given(arrays, "switches"), given(arrays, "dx").shape[2:]
    counts = combined(np.ones(switches.shape), switches, (size[0], size[1]), sum)
    return _at_switches(counts, switches)


@mistake(BACKWARD, "dy", "gradient divided among the values of a pixel", "Where several windows "
         "chose one pixel they share its gradient; the last one, row by row, has it.")  # fmt: skip
def _divided(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _at_switches(given(arrays, "dx"), given(arrays, "switches")) / _counts(arrays)


@mistake(BACKWARD, "dy", "no gradient where several chose one pixel", "Where several windows chose "
         "one pixel none gets a gradient; the last one, row by row, does.")  # fmt: skip
def _none_of_them(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return np.where(_counts(arrays) > 1, 0.0, right(arrays, settings))


@mistake(BACKWARD, "dy", "dx ignored", "Every value gets the gradient 1; it gets its pixel's.")
def _ignored(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return np.ones(given(arrays, "switches").shape)


@mistake(BACKWARD, "dy", "switches in place of the gradients", "Every value gets its switch; it "
         "gets the gradient of the pixel at the switch.")  # fmt: skip
def _switches_returned(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return given(arrays, "switches").astype(float)


def _reduced(name: str, sentence: str, how: Callable[[Array], Array]) -> None:
    @mistake(BACKWARD, "dy", name, sentence)
    def _of_blocks(arrays: Arrays, settings: Settings, right: Right) -> Array:
        dx, (n, c, rows, columns) = given(arrays, "dx"), given(arrays, "switches").shape
        down, across = dx.shape[2] // rows, dx.shape[3] // columns
        if not down * across:
            raise ValueError("no window has a pixel")
        cut = dx[:, :, : rows * down, : columns * across]
        return how(cut.reshape(n, c, rows, down, columns, across))


def _reduced_that_fits(name: str, sentence: str, how: Callable[[Array], Array]) -> None:
    @mistake(BACKWARD, "dy", name, sentence)
    def _of_cut_blocks(arrays: Arrays, settings: Settings, right: Right) -> Array:
        dx, switches = given(arrays, "dx"), given(arrays, "switches")
        h, w = dx.shape[2:]
        down, across = max(h // switches.shape[2], 1), max(w // switches.shape[3], 1)
        dy = np.zeros(switches.shape)
        for i, j in np.ndindex(*switches.shape[2:]):
            top, left = min(i * down, h - 1), min(j * across, w - 1)
            dy[:, :, i, j] = how(dx[:, :, top : top + down, left : left + across])
        return dy


_reduced_that_fits("maximum of the window in place of the switch's pixel", "The gradient is the "
                   "largest of the window; it is that of the pixel at the switch.",
                   lambda block: block.max((2, 3)))  # fmt: skip
_reduced("maximum of the window in place of the switch's pixel", "The gradient is the largest of "
         "the window; it is that of the pixel at the switch.",
         lambda windows: windows.max((3, 5)))  # fmt: skip
_reduced("mean of the window in place of the switch's pixel", "The gradient is the window's mean; "
         "it is that of the pixel at the switch.",
         lambda windows: windows.sum((3, 5)) / (windows.shape[3] * windows.shape[5]))  # fmt: skip
_reduced("sum of the window in place of the switch's pixel", "The gradient is the window's sum; it "
         "is that of the pixel at the switch.", lambda windows: windows.sum((3, 5)))  # fmt: skip


@mistake(BACKWARD, "dy", "gradients from the first plane only", "Switches are used as places in "
         "the whole array; each image and channel has a plane of its own.")  # fmt: skip
def _from_first_plane(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dx = given(arrays, "dx")
    return right({**arrays, "dx": np.broadcast_to(dx[:1, :1], dx.shape)}, settings)


@mistake(BACKWARD, "dy", "gradients from the first plane only", "Switches are used as places in "
         "the whole array; each image and channel has a plane of its own.")  # fmt: skip
def _all_from_first_plane(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dx = given(arrays, "dx")
    return _at_switches(np.broadcast_to(dx[:1, :1], dx.shape), given(arrays, "switches"))


@mistake(BACKWARD, "dy", "gradients from the first channel only", "Every channel gets the first "
         "one's gradients; each has its own.")  # fmt: skip
def _from_first_channel(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dx = given(arrays, "dx")
    return right({**arrays, "dx": np.broadcast_to(dx[:, :1], dx.shape)}, settings)


@mistake(BACKWARD, "dy", "gradients from the first image only", "Every image gets the first one's "
         "gradients; each has its own.")  # fmt: skip
def _from_first_image(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dx = given(arrays, "dx")
    return right({**arrays, "dx": np.broadcast_to(dx[:1], dx.shape)}, settings)


@mistake(BACKWARD, "dy", "scattered in place of gathered", "The result has the shape of dx; dy has "
         "a value for each switch.")  # fmt: skip
def _masked(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dx, switches = given(arrays, "dx"), given(arrays, "switches")
    size = (dx.shape[2], dx.shape[3])
    return dx * combined(np.ones(switches.shape), switches, size, max)


@mistake(BACKWARD, "dy", "left flat", "dy has the shape (N, C, H' W'); it has (N, C, H', W').")
def _flat_gradient(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dy = right(arrays, settings)
    return dy.reshape(*dy.shape[:2], -1)


zeros_twist(BACKWARD, "dy")
one_place_twists(BACKWARD, "dy", "gradient")


@twist(BACKWARD, "dy", "values in reverse order", "dy is written from the last window to the "
       "first: a place that was found in reversed switches is not turned back.")  # fmt: skip
def _turned(result: Array, arrays: Arrays, settings: Settings) -> Array:
    return result[:, :, ::-1, ::-1]


for _what, _places in (
    ("row", (slice(-1, None), slice(0))),
    ("column", (slice(0), slice(-1, None))),
    ("row and column", (slice(-1, None), slice(-1, None))),
):

    @twist(BACKWARD, "dy", f"last {_what} of windows left out",
           f"The loops over the windows end before the last {_what}; all of them get their "
           "gradient.")  # fmt: skip
    def _left_out(
        result: Array,
        arrays: Arrays,
        settings: Settings,
        places: tuple[slice, slice] = _places,
    ) -> Array:
        result = result.copy()
        result[:, :, places[0]] = 0
        result[:, :, :, places[1]] = 0
        return result


# Bookkeeping shared by planes ---------------------------------------------------------------


def _served_before(name: str, sentence: str, by_image: bool) -> None:
    @mistake(BACKWARD, "dy", name, sentence)
    def _kept(arrays: Arrays, settings: Settings, right: Right) -> Array:
        dy, switches = right(arrays, settings).copy(), given(arrays, "switches")
        seen: set[int] = set()
        for image, channel in np.ndindex(*switches.shape[:2]):
            if by_image and channel == 0:
                seen = set()
            here = set(switches[image, channel].ravel().tolist())
            dy[image, channel][np.isin(switches[image, channel], list(seen))] = 0
            seen |= here
        return dy


for _by_image in (False, True):
    _served_before("pixels of an earlier plane taken for served", "Which pixels have handed out "
                   "their gradient is not forgotten between planes, so that the same pixel of a "
                   "later one gives none.", _by_image)  # fmt: skip


def _winners_of_last(by_image: bool, by_channel: bool) -> None:
    @mistake(BACKWARD, "dy", "winners of another plane", "Which window was the last to choose a "
             "pixel is kept in one table for several planes, so that the last plane's "
             "count.")  # fmt: skip
    def _table(arrays: Arrays, settings: Settings, right: Right) -> Array:
        dx, switches = given(arrays, "dx"), given(arrays, "switches")
        (n, c), area = switches.shape[:2], dx.shape[2] * dx.shape[3]
        flat = switches.reshape(n, c, -1)
        table = np.full((n if by_image else 1, c if by_channel else 1, area), -1)
        order, dy = np.arange(flat.shape[2]), np.zeros(flat.shape)
        place = [(i if by_image else 0, k if by_channel else 0) for i in range(n) for k in range(c)]
        for (i, k), at in zip(np.ndindex(n, c), place, strict=True):
            table[at][flat[i, k]] = order
        for (i, k), at in zip(np.ndindex(n, c), place, strict=True):
            won = table[at][flat[i, k]] == order
            dy[i, k] = np.where(won, dx[i, k].ravel()[flat[i, k]], 0)
        return dy.reshape(switches.shape)


for _shared in ((True, False), (False, False), (False, True)):
    _winners_of_last(*_shared)


@mistake(BACKWARD, "dy", "winners of another plane", "Values that were written over are looked for "
         "in all planes together, so that a later plane's switches count in an earlier "
         "one.")  # fmt: skip
def _over_all_planes(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _unless_later(arrays, lambda image, channel: 0)


@mistake(BACKWARD, "dy", "winners of another plane", "Values that were written over are looked for "
         "in all channels of an image together; each has its own.")  # fmt: skip
def _over_all_channels(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _unless_later(arrays, lambda image, channel: image)


@mistake(BACKWARD, "dy", "winners of another plane", "Values that were written over are looked for "
         "in all images of a channel together; each has its own.")  # fmt: skip
def _over_all_images(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _unless_later(arrays, lambda image, channel: channel)


def _unless_later(arrays: Arrays, table: Callable[[int, int], int]) -> Array:
    """Give each value its pixel's gradient unless a later one of the same table chose it, too."""
    dx, switches = given(arrays, "dx"), given(arrays, "switches")
    dy, seen = np.zeros(switches.shape), set()
    for place in reversed(list(np.ndindex(*switches.shape))):
        image, channel = place[:2]
        pixel = int(switches[place])
        if (key := (table(image, channel), pixel)) not in seen:
            dy[place] = dx[image, channel].ravel()[pixel]
            seen.add(key)
    return dy


# Overlap that is looked for in some windows only ---------------------------------------------


Others = Callable[[int, int, tuple[int, int]], list[tuple[int, int]]]


def _looked_for(where: str, others: Others) -> None:
    """Register values that count as written over by some windows only: ``others(i, j, (H', W'))``.

    Such code may ask whether a window chose the same pixel, or look among the last ones' only.
    """

    @mistake(BACKWARD, "dy", f"overwritten values looked for {where} only", "A value is written "
             "over by any later window, row by row, with the same switch; not all of them are "
             "looked at.")  # fmt: skip
    def _by_some(arrays: Arrays, settings: Settings, right: Right) -> Array:
        switches = given(arrays, "switches")
        dy = _at_switches(given(arrays, "dx"), switches)
        rows, columns = switches.shape[2:]
        for i, j in np.ndindex(rows, columns):
            for k, m in others(i, j, (rows, columns)):
                dy[:, :, i, j][switches[:, :, i, j] == switches[:, :, k, m]] = 0
        return dy


def _beside(i: int, j: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    return [(i, j + 1)] if j + 1 < size[1] else []


def _below(i: int, j: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    return [(i + 1, j)] if i + 1 < size[0] else []


_looked_for("in the same row of windows",
            lambda i, j, size: [(i, m) for m in range(j + 1, size[1])])  # fmt: skip
_looked_for("in the same column of windows",
            lambda i, j, size: [(k, j) for k in range(i + 1, size[0])])  # fmt: skip
_looked_for("in the same row of windows", _beside)
_looked_for("in the same column of windows", _below)
_looked_for("in the next windows of the row and of the column",
            lambda i, j, size: _beside(i, j, size) + _below(i, j, size))  # fmt: skip
_looked_for("in the next window", lambda i, j, size: [
    divmod(n, size[1]) for n in [i * size[1] + j + 1] if n < size[0] * size[1]
])  # fmt: skip
