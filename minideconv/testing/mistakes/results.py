"""Mistakes made with a right result: a factor, the order of its axes, parts that are left out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.mistakes.bank import twist
from minideconv.testing.mistakes.kernels import zeroed
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["layout_twists", "scale_twists"]


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
    """Register wrong orders of the axes, and of the images, of a result of four axes."""

    def turned(name: str, sentence: str, change: Callable[[Array], Array]) -> None:
        @twist(operation, output, name, sentence)
        def _turned(result: Array, arrays: Arrays, settings: Settings) -> Array:
            return change(result)

    for change in (
        lambda y: y.transpose(1, 0, 2, 3).reshape(y.shape),
        lambda y: y.transpose(1, 2, 3, 0).reshape(y.shape),
        lambda y: y.transpose(2, 3, 1, 0).reshape(y.shape),
        lambda y: y.transpose(0, 2, 3, 1).reshape(y.shape),
        lambda y: y.transpose(1, 0, 2, 3).reshape(y.shape[1], *y.shape[2:], y.shape[0])
        .transpose(3, 0, 1, 2),
    ):  # fmt: skip
        turned("axes mixed up by reshape",
               "The result is reshaped where its axes must be transposed: its numbers are those of "
               "other images and channels.", change)  # fmt: skip
    turned("rows and columns mixed up by reshape",
           "The result is reshaped to (W, H) and turned, which scrambles the pixels.",
           lambda y: y.reshape(*y.shape[:2], y.shape[3], y.shape[2]).swapaxes(2, 3))  # fmt: skip
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
           lambda y: np.concatenate([y[:1], np.zeros_like(y[1:])]))  # fmt: skip
    turned("only the first image computed", "The other images of the batch are not returned.",
           lambda y: y[:1])  # fmt: skip
    turned("only the last image computed", "The other images of the batch stay zero.",
           lambda y: np.concatenate([np.zeros_like(y[:-1]), y[-1:]]))  # fmt: skip
    for change in (
        lambda y: np.broadcast_to(y.sum(0), y.shape),
        lambda y: y.sum(0, keepdims=True),
        lambda y: y.sum(0),
    ):
        turned("summed over the batch", "The images are added up; each has a result of its own.",
               change)  # fmt: skip
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
    turned("zeros in the last row and column",
           "The loops stop one too early; the last row and column stay zero.",
           lambda y: zeroed(zeroed(y, (..., slice(-1, None))),
                             (slice(None), slice(None), slice(-1, None))))  # fmt: skip
