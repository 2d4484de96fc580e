"""Wrong versions of max_pool2d_backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minideconv.testing.error_kinds import OTHER, SHAPE
from minideconv.testing.mistakes.bank import Fails, Right, given, mistake, slip, twist
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

__all__ = ["combined"]

OPERATION = "max_pool2d_backward"


def _register(name: str, sentence: str, decode: Decode) -> None:
    @slip(OPERATION, "dx", name, sentence)
    def _decoded(arrays: Arrays, settings: Settings) -> None:
        decoded(decode, arrays, settings)


for _name, _sentence, _decode in DECODINGS:
    _register(_name, _sentence, _decode)


def combined(
    values: Array, switches: Array, size: tuple[int, int], how: Callable[[Sequence[float]], float]
) -> Array:
    """Return planes in which each pixel holds ``how`` of the values that chose it, in order."""
    n, c = values.shape[:2]
    planes = np.zeros((n, c, size[0] * size[1]))
    for image, channel in np.ndindex(n, c):
        flat, pixels = values[image, channel].ravel(), switches[image, channel].ravel()
        for pixel in set(pixels.tolist()):
            planes[image, channel, pixel] = how(flat[pixels == pixel].tolist())
    return planes.reshape(n, c, *size)


def _several(name: str, sentence: str, how: Callable[[Sequence[float]], float]) -> None:
    @mistake(OPERATION, "dx", name, sentence)
    def _combined(arrays: Arrays, settings: Settings, right: Right) -> Array:
        return combined(given(arrays, "dy"), given(arrays, "switches"), settings["size"], how)


_several("assigned in place of added", "Where several windows chose one pixel only the last "
         "gradient stays (=, or += with an array of indices, which adds once); they add up: "
         "np.add.at.", lambda values: values[-1])  # fmt: skip
_several("only the first gradient of a pixel kept", "Where several windows chose one pixel only "
         "the first gradient is used; they add up.", lambda values: values[0])  # fmt: skip
_several("gradients of a pixel averaged", "Where several windows chose one pixel their gradients "
         "are averaged; they add up.", lambda values: sum(values) / len(values))  # fmt: skip
_several("largest gradient of a pixel kept", "Where several windows chose one pixel only the "
         "largest gradient is used; they add up.", max)  # fmt: skip


@mistake(OPERATION, "dx", "dy ignored", "The chosen pixels get 1; they get the gradient dy.")
def _ones(arrays: Arrays, settings: Settings, right: Right) -> Array:
    counts = right({**arrays, "dy": np.ones_like(given(arrays, "dy"))}, settings)
    return np.minimum(counts, 1)


@mistake(OPERATION, "dx", "dy ignored", "The chosen pixels get 1; they get the gradient dy.")
def _counts(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return right({**arrays, "dy": np.ones_like(given(arrays, "dy"))}, settings)


@mistake(OPERATION, "dx", "gradient copied to the whole window", "Every pixel of a window gets the "
         "gradient; only the one that won does.")  # fmt: skip
def _copied(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return blocks(given(arrays, "dy"), settings["size"])


@mistake(OPERATION, "dx", "gradient shared by the whole window", "The gradient is divided among "
         "the pixels of the window, as in average pooling; it is the winner's alone.")  # fmt: skip
def _shared(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dy = given(arrays, "dy")
    (h, w), (rows, columns) = settings["size"], dy.shape[2:]
    return blocks(dy, (h, w)) / max((h // rows) * (w // columns), 1)


@slip(OPERATION, "dx", "size swapped", "Height and width of dx are swapped; size is "
      "(height, width).")  # fmt: skip
def _size_swapped(arrays: Arrays, settings: Settings) -> None:
    settings["size"] = settings["size"][::-1]


def _planes(name: str, sentence: str, place: Place) -> None:
    @mistake(OPERATION, "dx", name, sentence)
    def _elsewhere(arrays: Arrays, settings: Settings, right: Right) -> Array:
        dy, switches = given(arrays, "dy"), given(arrays, "switches")
        return scattered(dy, switches, settings["size"], place, add=True)


for _name, _sentence, _place in PLANES:
    _planes(_name, _sentence, _place)


@mistake(OPERATION, "dx", "channels added together", "Every channel gets the gradients of all.")
def _channels(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dx = right(arrays, settings)
    return np.repeat(dx.sum(1, keepdims=True), dx.shape[1], 1)


@mistake(OPERATION, "dx", "images added together", "Every image gets the gradients of all.")
def _images(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dx = right(arrays, settings)
    return np.repeat(dx.sum(0, keepdims=True), len(dx), 0)


@mistake(OPERATION, "dx", "left flat", "dx has the shape (N, C, H W); it has (N, C, H, W).")
def _flat(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dx = right(arrays, settings)
    return dx.reshape(*dx.shape[:2], -1)


@mistake(OPERATION, "dx", "dy read column by column", "The gradients are taken column by column, "
         "the switches row by row.")  # fmt: skip
def _transposed(arrays: Arrays, settings: Settings, right: Right) -> Array:
    dy = given(arrays, "dy")
    return right({**arrays, "dy": dy.swapaxes(2, 3).reshape(dy.shape)}, settings)


@mistake(OPERATION, "dx", "windows counted twice", "A pixel's gradient is multiplied by the number "
         "of windows that chose it.")  # fmt: skip
def _times_count(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return combined(given(arrays, "dy"), given(arrays, "switches"), settings["size"],
                    lambda values: sum(values) * len(values))  # fmt: skip


def counted(lengths: Callable[[Array, int], bool], spread: bool = False) -> None:
    """Register bincounts that fail where ``lengths(each plane's, area)``; else all is right.

    With `spread` they are assigned to planes: a count of one number is the whole plane's.
    """

    @mistake(OPERATION, "dx", "np.bincount without minlength", "np.bincount ends with the last "
             "pixel that was chosen, so that a plane is too short unless that is its last; give it "
             "minlength = H W.")  # fmt: skip
    def _too_short(arrays: Arrays, settings: Settings, right: Right) -> Array:
        area, dx = settings["size"][0] * settings["size"][1], right(arrays, settings)
        counts = given(arrays, "switches").max((2, 3)) + 1
        if lengths(counts, area):
            raise Fails(SHAPE, OTHER)  # a list of arrays of several lengths is none, too
        if spread:
            return np.where((counts == 1)[..., None, None], dx[:, :, :1, :1], dx)
        return dx


counted(lambda counts, area: bool((counts < area).any()))
counted(lambda counts, area: bool(((counts < area) & (counts != 1)).any()), spread=True)
counted(lambda counts, area: bool(counts[-1, -1] < area))  # all planes in one count


@twist(OPERATION, "dx", "wrong sign", "dx is -1 times what it must be.")
def _negative(result: Array, arrays: Arrays, settings: Settings) -> Array:
    return -result


@twist(OPERATION, "dx", "divided by the number of images", "dx is a mean over the batch; each "
       "image has its own.")  # fmt: skip
def _by_images(result: Array, arrays: Arrays, settings: Settings) -> Array:
    return result / len(result)


@twist(OPERATION, "dx", "divided by the number of windows", "dx is a mean over the windows; "
       "gradients add up.")  # fmt: skip
def _by_windows(result: Array, arrays: Arrays, settings: Settings) -> Array:
    return result / given(arrays, "dy")[0, 0].size


zeros_twist(OPERATION, "dx")
first_used(OPERATION, "dx", "dy", "gradients")
one_place_twists(OPERATION, "dx", "gradient")
windows_left_out(OPERATION, "dx", "dy")
reversed_slip(OPERATION, "dx", "dy")
