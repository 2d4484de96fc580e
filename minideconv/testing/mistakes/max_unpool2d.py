"""Wrong versions of max_unpool2d and of its backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minideconv.testing.mistakes.bank import Right, mistake, slip
from minideconv.testing.mistakes.max_pool2d_backward import combined
from minideconv.testing.mistakes.planes import DECODINGS, Decode, blocks
from minideconv.testing.operations.batch_norm import given
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

FORWARD, BACKWARD = "max_unpool2d", "max_unpool2d_backward"


def _register(name: str, sentence: str, decode: Decode) -> None:
    places = [(FORWARD, "x"), (BACKWARD, "dy")]
    if "height" in name:  # backward only large planes show it
        places.pop()
    for operation, output in places:

        @slip(operation, output, name, sentence)
        def _decoded(arrays: Arrays, settings: Settings) -> None:
            arrays["switches"] = decode(arrays, settings)


for _name, _sentence, _decode in DECODINGS:
    _register(_name, _sentence, _decode)


# Forward ------------------------------------------------------------------------------------


def _several(name: str, sentence: str, how: Callable[[Sequence[float]], float]) -> None:
    @mistake(FORWARD, "x", name, sentence)
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


@mistake(FORWARD, "x", "size ignored: twice y's", "x is made twice as large as y; its size is "
         "given.")  # fmt: skip
def _twice(arrays: Arrays, settings: Settings, right: Right) -> Array:
    rows, columns = given(arrays, "y").shape[2:]
    return right(arrays, {"size": (2 * rows, 2 * columns)})


@mistake(FORWARD, "x", "planes not told apart", "Switches are used as places in the whole array, "
         "so that every value lands in the first plane; each image and channel has a plane of its "
         "own.")  # fmt: skip
def _first_plane(arrays: Arrays, settings: Settings, right: Right) -> Array:
    y, switches = given(arrays, "y"), given(arrays, "switches")
    x = np.zeros((*y.shape[:2], *settings["size"]))
    x.reshape(-1)[switches.ravel()] = y.ravel()
    return x


@mistake(FORWARD, "x", "channels not told apart", "Switches are used as places in the whole image, "
         "so that every value lands in the first channel's plane.")  # fmt: skip
def _first_channel_plane(arrays: Arrays, settings: Settings, right: Right) -> Array:
    y, switches = given(arrays, "y"), given(arrays, "switches")
    x = np.zeros((*y.shape[:2], *settings["size"]))
    for image in range(len(y)):
        x[image].reshape(-1)[switches[image].ravel()] = y[image].ravel()
    return x


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


@mistake(FORWARD, "x", "first image only", "The other images of the batch are left 0.")
def _first_image_only(arrays: Arrays, settings: Settings, right: Right) -> Array:
    x = right(arrays, settings)
    x[1:] = 0
    return x


@mistake(FORWARD, "x", "first channel only", "The other channels are left 0.")
def _first_channel_only(arrays: Arrays, settings: Settings, right: Right) -> Array:
    x = right(arrays, settings)
    x[:, 1:] = 0
    return x


@mistake(FORWARD, "x", "negative values left out", "Only values above 0 are put back: a 0 is taken "
         "for no value, or a maximum is begun at 0.")  # fmt: skip
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


# Backward -----------------------------------------------------------------------------------


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


@mistake(BACKWARD, "dy", "first image only", "The other images of the batch get no gradient.")
def _first_image_gradient(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dy = right(arrays, settings)
    dy[1:] = 0
    return dy


@mistake(BACKWARD, "dy", "first channel only", "The other channels get no gradient.")
def _first_channel_gradient(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dy = right(arrays, settings)
    dy[:, 1:] = 0
    return dy
