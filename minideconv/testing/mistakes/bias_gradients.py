"""Mistakes of the gradient by the bias: the sum of dy over images and pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from minideconv.testing.mistakes.bank import Right, given, mistake, twist
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["bias_gradient_mistakes"]


def bias_gradient_mistakes(operation: str) -> None:
    """Register the mistakes of db, the sum of dy over images and pixels."""

    def wrong(name: str, sentence: str, change: Callable[[Array], Array]) -> None:
        @mistake(operation, "db", name, sentence)
        def _wrong(arrays: Arrays, settings: Settings, right: Right) -> Array:
            return np.asarray(change(given(arrays, "dy")))

    def right(g: Array) -> Array:
        return g.sum((0, 2, 3))

    wrong("bias gradient not summed over the batch",
          "There is a db for every image; db[k] is one sum over images and pixels.",
          lambda g: g.sum((2, 3)))  # fmt: skip
    wrong("first image only", "Only the first image counts; the sum runs over the batch.",
          lambda g: g[0].sum((1, 2)))  # fmt: skip
    wrong("last image only", "Every image overwrites the one before (=); they add up (+=).",
          lambda g: g[-1].sum((1, 2)))  # fmt: skip
    for change in (lambda g: g.sum(0), lambda g: g.sum(0)[:, 0, 0]):
        wrong("bias gradient not summed over the pixels",
              "There is a db for every pixel; db[k] is one sum over images and pixels.",
              change)  # fmt: skip
    for axis, text in ((2, "rows"), (3, "columns")):
        axes = tuple(a for a in (0, 2, 3) if a != axis)
        wrong(f"bias gradient not summed over the {text}",
              f"There is a db for each of the {text}; db[k] is one sum over images and pixels.",
              partial(np.sum, axis=axes))  # fmt: skip
    wrong("averaged over the batch", "db is divided by the number of images; it is a sum.",
          lambda g: right(g) / len(g))  # fmt: skip
    wrong("averaged over the pixels", "db is divided by the number of pixels; it is a sum.",
          lambda g: right(g) / (g.shape[2] * g.shape[3]))  # fmt: skip
    wrong("averaged over batch and pixels", "db is the mean of dy; it is its sum.",
          lambda g: g.mean((0, 2, 3)))  # fmt: skip
    wrong("bias gradient summed over the channels, too",
          "db is one number; it has one for each channel.", lambda g: g.sum())  # fmt: skip
    wrong("bias gradient summed over the channels, too",
          "Every channel gets the sum of all; each has its own.",
          lambda g: np.full(g.shape[1], g.sum()))  # fmt: skip
    for axes, text in (
        ((1, 2, 3), "channels and pixels"),
        ((0, 1, 2), "all but the columns"),
        ((0, 1, 3), "all but the rows"),
    ):
        wrong(f"bias gradient summed over {text}",
              "The sum runs over the wrong axes; over (0, 2, 3) it leaves the channels.",
              partial(np.sum, axis=axes))  # fmt: skip
    for change in (
        lambda g: right(g)[None, :, None, None],
        lambda g: right(g)[:, None],
        lambda g: right(g)[None],
        lambda g: right(g)[:, None, None],
    ):
        wrong("axes of length 1 kept", "db must have one axis, (C_out,).", change)
    wrong("dy ignored", "db counts the pixels: ones in place of dy.",
          lambda g: right(np.ones_like(g)))  # fmt: skip
    wrong("dy ignored", "db is ones; it is a sum of dy.", lambda g: np.ones(g.shape[1]))
    wrong("zeros returned", "db is made, but never written to.", lambda g: np.zeros(g.shape[1]))
    wrong("wrong sign", "db is -1 times what it must be.", lambda g: -right(g))
    wrong("twice as large", "db is counted twice.", lambda g: 2 * right(g))
    wrong("half as large", "db is halved; there is no factor 1/2.", lambda g: right(g) / 2)
    wrong("maximum in place of the sum", "db is the largest dy of a channel; it is the sum.",
          lambda g: g.max((0, 2, 3)))  # fmt: skip
    wrong("absolute values summed", "The signs are lost; db is the sum of dy.",
          lambda g: np.abs(g).sum((0, 2, 3)))  # fmt: skip
    wrong("squares summed", "dy is squared; db is the sum of dy.", lambda g: (g * g).sum((0, 2, 3)))
    wrong("last pixel only", "Every pixel overwrites the one before (=); they add up (+=).",
          lambda g: g[-1, :, -1, -1])  # fmt: skip
    wrong("last pixel only", "Every pixel overwrites the one before (=); they add up (+=).",
          lambda g: g[:, :, -1, -1].sum(0))  # fmt: skip
    wrong("without the last row and column", "The loops over the pixels stop one too early.",
          lambda g: right(g[:, :, :-1, :-1]))  # fmt: skip
    wrong("the channels in reverse order", "db[k] belongs to channel k.",
          lambda g: right(g)[::-1])  # fmt: skip
    wrong("without the last row", "The loop over the rows stops one too early.",
          lambda g: right(g[:, :, :-1]))  # fmt: skip
    wrong("without the last column", "The loop over the columns stops one too early.",
          lambda g: right(g[..., :-1]))  # fmt: skip
    wrong("last image left out", "The loop over the images stops one too early.",
          lambda g: right(g[:-1]))  # fmt: skip
    wrong("accumulator not reset", "A sum goes on from the channel before; each begins with 0.",
          lambda g: right(g).cumsum())  # fmt: skip
    _of_groups(operation)


def _of_groups(operation: str) -> None:
    def wrong(name: str, sentence: str, change: Callable[[Array], Array]) -> None:
        @twist(operation, "db", name, sentence)
        def _wrong(result: Array, arrays: Arrays, settings: Settings) -> Array:
            return change(result.reshape(settings["groups"], -1)).reshape(-1)

    wrong("bias gradient summed over each group",
          "Every channel gets the sum of its group; each has its own.",
          lambda g: np.broadcast_to(g.sum(1, keepdims=True), g.shape))  # fmt: skip
    wrong("first group's gradient used for all", "Every group gets the first one's gradient.",
          lambda g: np.broadcast_to(g[:1], g.shape))  # fmt: skip
    wrong("first group only", "The other groups' gradients stay zero.",
          lambda g: np.concatenate([g[:1], np.zeros_like(g[1:])]))  # fmt: skip
    wrong("last group only", "Each group overwrites the gradients of the others.",
          lambda g: np.concatenate([np.zeros_like(g[:-1]), g[-1:]]))  # fmt: skip
    wrong("the groups' gradients added up", "Every group gets the sum over the groups.",
          lambda g: np.broadcast_to(g.sum(0), g.shape))  # fmt: skip
