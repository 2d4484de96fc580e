"""Mistakes made with a right result: a factor, the order of its axes, parts that are left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from minideconv.testing.mistakes.bank import right_values, twist, vary
from minideconv.testing.mistakes.kernels import zeroed
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["flattened", "in_the_first", "layout_twists", "run_on", "scale_twists", "unflattened"]


def scale_twists(operation: str, output: str) -> None:
    """Register a wrong sign and wrong factors."""

    def scaled(name: str, sentence: str, change: Callable[[Array], Array]) -> None:
        @twist(operation, output, name, sentence)
        def _scaled(result: Array, arrays: Arrays, settings: Settings) -> Array:
            return change(result)

    scaled("wrong sign", f"{output} is -1 times what it must be.", lambda y: -y)
    scaled("twice as large", f"{output} is counted twice.", lambda y: 2 * y)
    scaled("half as large", f"{output} is halved; there is no factor 1/2.", lambda y: y / 2)
    scaled("zeros returned", f"{output} is made, but never written to.", np.zeros_like)
    scaled("negative numbers cut off", f"{output} is passed through a ReLU.",
           lambda y: np.maximum(y, 0))  # fmt: skip


def layout_twists(operation: str, output: str) -> None:
    """Register wrong orders of the axes, and of the images, of a result of four axes.

    Where the operation adds a bias, each before it and after it.
    """
    right = right_values(operation, output)

    def turned(name: str, sentence: str, *changes: Callable[[Array], Array]) -> None:
        """Register the first of the changes, the others as variants."""
        first, *others = changes

        @twist(operation, output, name, sentence)
        def _turned(result: Array, arrays: Arrays, settings: Settings) -> Array:
            return first(result)

        def after(change: Callable[[Array], Array], arrays: Arrays, settings: Settings) -> Array:
            return change(right(arrays, settings))

        def before(change: Callable[[Array], Array], arrays: Arrays, settings: Settings) -> Array:
            b = arrays["b"]
            y = change(right({**arrays, "b": None}, settings))
            return y if b is None else y + b[:, None, None]

        vary(operation, output, name, *(partial(after, change) for change in others))
        if output == "y":
            vary(operation, output, name, *(partial(before, change) for change in changes))

    orders = [order for order in permutations(range(4)) if order != (0, 1, 2, 3)]
    far = [order for order in orders if order[:2] != (0, 1)]
    usual = [(1, 0, 2, 3), (1, 2, 3, 0), (0, 2, 3, 1)]
    far = usual + [order for order in far if order not in usual]
    turned("axes mixed up by reshape",
           "The result is reshaped where its axes must be transposed: its numbers are those of "
           "other images and channels.",
           *(partial(flattened, order=order) for order in far),
           *(partial(unflattened, order=order) for order in far),
           *(partial(_reread, written=a, read=b) for a, b in permutations(_PRODUCTS, 2)),
           )  # fmt: skip
    turned("rows and columns mixed up by reshape",
           "The result is reshaped to (W, H) and turned, which scrambles the pixels.",
           partial(unflattened, order=(0, 1, 3, 2)),
           partial(flattened, order=(0, 1, 3, 2)))  # fmt: skip
    turned("rows and columns interchanged", "The result is (N, C, W, H); it must be (N, C, H, W).",
           lambda y: y.swapaxes(2, 3))  # fmt: skip
    turned("channels last", "The result is (N, H, W, C); it must be (N, C, H, W).",
           lambda y: y.transpose(0, 2, 3, 1))  # fmt: skip
    turned("images and channels interchanged", "The result is (C, N, H, W); it must be "
           "(N, C, H, W).", lambda y: y.swapaxes(0, 1))  # fmt: skip
    turned("first image only", "Every image of the batch gets the first one's result.",
           lambda y: np.repeat(y[:1], len(y), axis=0))  # fmt: skip
    turned("last image only", "Every image of the batch gets the last one's result.",
           lambda y: np.repeat(y[-1:], len(y), axis=0))  # fmt: skip
    turned("only the first image computed", "The other images of the batch stay zero.",
           lambda y: np.concatenate([y[:1], np.zeros_like(y[1:])]), lambda y: y[:1])  # fmt: skip
    turned("only the last image computed", "The other images of the batch stay zero.",
           lambda y: np.concatenate([np.zeros_like(y[:-1]), y[-1:]]))  # fmt: skip
    turned("summed over the batch", "The images are added up; each has a result of its own.",
           lambda y: np.broadcast_to(y.sum(0), y.shape), lambda y: y.sum(0, keepdims=True),
           lambda y: y.sum(0))  # fmt: skip
    turned("averaged over the batch", "The result is divided by the number of images.",
           lambda y: y / len(y))  # fmt: skip
    turned("the channels in reverse order", "The channels come out from the last to the first.",
           lambda y: y[:, ::-1])  # fmt: skip
    turned("upside down", "The rows come out from the last to the first.",
           lambda y: y[:, :, ::-1])  # fmt: skip
    turned("mirrored", "The columns come out from the last to the first.",
           lambda y: y[:, :, :, ::-1])  # fmt: skip
    turned("turned by 180 degrees", "Rows and columns come out from the last to the first.",
           lambda y: y[:, :, ::-1, ::-1])  # fmt: skip
    turned("without its last row and column",
           "The output size is one too small: (n - k) // s + 1 windows fit.",
           lambda y: y[:, :, :-1, :-1])  # fmt: skip
    turned("a row and a column too many",
           "The output size is one too large; the last row and column stay zero.",
           lambda y: np.pad(y, ((0, 0), (0, 0), (0, 1), (0, 1))))  # fmt: skip
    loops = "The loops {} one too {}; these pixels stay zero."
    for edge, place in (("last", slice(-1, None)), ("first", slice(0, 1))):
        sentence = loops.format(*(("stop", "early") if edge == "last" else ("begin", "late")))
        row, column = (..., place, slice(None)), (..., place)
        turned(f"zeros in the {edge} row", sentence, partial(zeroed, place=row))
        turned(f"zeros in the {edge} column", sentence, partial(zeroed, place=column))
        turned(f"zeros in the {edge} row and column", sentence,
               partial(_zeroed_in_both, places=(row, column)))  # fmt: skip
    turned("without its last row", "There is one row too few.", lambda y: y[:, :, :-1])
    turned("without its last column", "There is one column too few.", lambda y: y[..., :-1])
    for axis, text in enumerate(("image", "channel")):
        turned(f"last {text} left out", f"The loop stops one too early; the last {text} stays 0.",
               partial(_last_zero, axis=axis))  # fmt: skip
        turned(f"every {text} written to the first place",
               f"The index of the result is fixed at the first {text}; the others stay zero.",
               partial(in_the_first, axis=axis, add=False),
               partial(in_the_first, axis=axis, add=True))  # fmt: skip
    turned("accumulator not reset",
           "A sum goes on from the pixel, channel or image before; each begins with 0.",
           *(partial(run_on, last=last) for last in (1, 2, 3, 4)),
           *(partial(np.cumsum, axis=axis) for axis in (0, 1)))  # fmt: skip


def flattened(y: Array, order: Sequence[int]) -> Array:
    """Read the numbers in another order of the axes, as if they were in the right one."""
    return y.transpose(order).reshape(y.shape)


def unflattened(y: Array, order: Sequence[int]) -> Array:
    """Take the numbers for those of an array with the axes in another order."""
    return y.reshape([y.shape[axis] for axis in order]).transpose(np.argsort(order))


_PRODUCTS = ((1, 0, 2, 3), (1, 2, 3, 0), (0, 2, 3, 1), (2, 3, 0, 1))
"""Orders of (N, C, H, W) in which a product of matrices has its rows and columns."""


def _reread(y: Array, written: Sequence[int], read: Sequence[int]) -> Array:
    """Write the numbers in one order of the axes and read them in another one."""
    memory = y.transpose(written).reshape([y.shape[axis] for axis in read])
    return memory.transpose(np.argsort(read))


def run_on(y: Array, last: int) -> Array:
    """Add up along so many of the last axes, in the order of memory."""
    return y.reshape(*y.shape[: y.ndim - last], -1).cumsum(-1).reshape(y.shape)


def _zeroed_in_both(y: Array, places: Sequence[Any]) -> Array:
    for place in places:
        y = zeroed(y, place)
    return y


def _last_zero(y: Array, axis: int) -> Array:
    return np.moveaxis(zeroed(np.moveaxis(y, axis, 0), -1), 0, axis)


def in_the_first(y: Array, axis: int, add: bool) -> Array:
    """Put the last line of an axis, or the sum of all, in the place of the first one."""
    lines = np.moveaxis(y, axis, 0)
    result = np.zeros_like(lines)
    result[0] = lines.sum(0) if add else lines[-1]
    return np.moveaxis(result, 0, axis)
