"""Mistakes of the gradients by weight and bias: conv2d's, and its transpose's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from minideconv.testing.mistakes.bank import (
    Right,
    Values,
    given,
    mistake,
    right_values,
    slip,
    twist,
    vary,
)
from minideconv.testing.mistakes.borders import border_mistakes
from minideconv.testing.mistakes.edges import READING, Edge, as_it_is
from minideconv.testing.mistakes.indexing import indexing_mistakes
from minideconv.testing.mistakes.indices import backward_by_w, interleaved, tables
from minideconv.testing.mistakes.kernels import kernel_misread
from minideconv.testing.mistakes.lines import lines_left_out
from minideconv.testing.mistakes.results import (
    flattened,
    in_the_first,
    run_on,
    scale_twists,
    unflattened,
)
from minideconv.testing.mistakes.settings import settings_mistakes
from minideconv.testing.mistakes.square_kernels import square_gradient
from minideconv.testing.mistakes.weight_orders import UNKNOWN_ORDERS, by_group
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["stale_gradients", "weight_gradient_mistakes"]


def weight_gradient_mistakes(operation: str, image: str, other: str) -> None:
    """Register the mistakes of dw, which sums windows of `image` times the array `other`."""

    def loose(arrays: Arrays, wrong: Settings, settings: Settings, edge: Edge = as_it_is) -> Array:
        w, factor = given(arrays, "w"), given(arrays, other)
        where = tables(wrong, w.shape[2:], factor.shape[2:])
        where = edge(where, given(arrays, image).shape[2:], wrong["padding"])
        return backward_by_w(factor, given(arrays, image), w.shape, settings["groups"], where)

    names = ("stride", "padding", "dilation")
    settings_mistakes(operation, "dw", names, lambda a, _s: given(a, "w").shape[2:], loose, READING)
    border_mistakes(operation, "dw", image)
    indexing_mistakes(operation, "dw", loose, writes=False)
    scale_twists(operation, "dw")
    _orders(operation)
    _sums(operation, image, other)

    def changed(name: str, sentence: str, change: Callable[[Arrays], None]) -> None:
        @slip(operation, "dw", name, sentence)
        def _changed(arrays: Arrays, settings: Settings) -> None:
            change(arrays)

    for role in (image, other):
        changed(f"{role} turned by 180 degrees",
                f"{role} is flipped before the products are taken.",
                partial(_replaced, role, lambda f: f[:, :, ::-1, ::-1]))  # fmt: skip
        changed(f"{role} ignored", f"The products are taken with ones in place of {role}.",
                partial(_replaced, role, np.ones_like))  # fmt: skip
    _groups(operation, image, other)
    lines_left_out(operation, "dw", image)
    square_gradient(operation)


def _replaced(role: str, change: Callable[[Array], Array], arrays: Arrays) -> None:
    arrays[role] = change(given(arrays, role))


def _summed(gradient: Array, axis: int) -> Array:
    return np.broadcast_to(gradient.sum(axis, keepdims=True), gradient.shape)


def _after(
    operation: str, change: Callable[[Array], Array], arrays: Arrays, settings: Settings
) -> Array:
    return change(right_values(operation, "dw")(arrays, settings))


def _after_groups(
    operation: str, change: Callable[[Array], Array], arrays: Arrays, settings: Settings
) -> Array:
    return by_group(change, right_values(operation, "dw")(arrays, settings), settings["groups"])


def _orders(operation: str) -> None:
    mixed: list[Values] = []

    def turned(name: str, sentence: str, change: Callable[[Array], Array]) -> None:
        @twist(operation, "dw", name, sentence)
        def _turned(result: Array, arrays: Arrays, settings: Settings) -> Array:
            return change(result)

    turned("gradient flipped", "dw is turned by 180 degrees; dw[.., a, e] belongs to w[.., a, e].",
           lambda g: g[:, :, ::-1, ::-1])  # fmt: skip
    turned("gradient flipped upside down", "dw's rows stand in reverse order.",
           lambda g: g[:, :, ::-1])  # fmt: skip
    turned("gradient flipped left to right", "dw's columns stand in reverse order.",
           lambda g: g[:, :, :, ::-1])  # fmt: skip
    for axis, text in enumerate(("first", "second")):
        turned(f"gradient's {text} axis in reverse order",
               f"dw's {text} axis belongs to that of w from the first channel on.",
               partial(np.flip, axis=axis))  # fmt: skip
    turned("gradient transposed", "dw is (.., kw, kh); it must be (.., kh, kw), as w.",
           lambda g: g.swapaxes(2, 3))  # fmt: skip
    turned("gradient written column by column", "The taps are written as (kw, kh), not (kh, kw).",
           kernel_misread)  # fmt: skip
    turned("gradient written column by column", "The taps are written as (kw, kh), not (kh, kw).",
           lambda g: g.swapaxes(2, 3).reshape(g.shape))  # fmt: skip
    for change in (
        lambda g: g.swapaxes(0, 1),
        lambda g: g.swapaxes(0, 1).reshape(g.shape),
        lambda g: g.reshape(g.shape[1], g.shape[0], *g.shape[2:]).swapaxes(0, 1),
    ):
        turned("gradient's channels interchanged",
               "The first two axes of dw are interchanged; dw has the shape of w.",
               change)  # fmt: skip
    for change in (
        lambda g: g.transpose(0, 2, 3, 1).reshape(g.shape),
        lambda g: g.reshape(g.shape[0], *g.shape[2:], g.shape[1]).transpose(0, 3, 1, 2),
    ):
        turned("gradient written with its channels last",
               "The taps are written in the order (kh, kw, channels); w has (channels, kh, kw).",
               change)  # fmt: skip
    for order in UNKNOWN_ORDERS:
        sentence = "dw is reshaped where its axes must be transposed."
        if order == (2, 3, 1, 0):
            turned("gradient's axes mixed up by reshape", sentence, partial(flattened, order=order))
        others = (partial(flattened, order=order), partial(unflattened, order=order))
        mixed += [partial(_after, operation, change) for change in others]
        mixed += [partial(_after_groups, operation, change) for change in others]
    vary(operation, "dw", "gradient's axes mixed up by reshape", *mixed)
    turned("accumulator not reset",
           "A sum goes on from the tap or channel before; each begins with 0.",
           partial(run_on, last=2))  # fmt: skip
    vary(operation, "dw", "accumulator not reset",
         *(partial(_after, operation, partial(run_on, last=last)) for last in (1, 3, 4)),
         *(partial(_after, operation, partial(np.cumsum, axis=axis)) for axis in (0, 1)),
         )  # fmt: skip
    for axis, text in enumerate(("first", "second")):
        turned(f"everything written to the first place of the {text} axis",
               "The index of the result is fixed; the others stay zero.",
               partial(in_the_first, axis=axis, add=True))  # fmt: skip
        vary(operation, "dw", f"everything written to the first place of the {text} axis",
             partial(_after, operation, partial(in_the_first, axis=axis, add=False)),
             )  # fmt: skip
    turned("gradient flattened", "dw is a matrix; it must have the shape of w.",
           lambda g: g.reshape(len(g), -1))  # fmt: skip
    for axis, text in ((0, "first"), (1, "second")):
        turned(f"gradient summed over its {text} axis",
               f"All channels of dw's {text} axis get the sum over it; each has its own gradient.",
               partial(_summed, axis=axis))  # fmt: skip
    turned("gradient averaged over the taps", "dw is divided by kh kw; nothing is averaged.",
           lambda g: g / (g.shape[2] * g.shape[3]))  # fmt: skip


def _sums(operation: str, image: str, other: str) -> None:
    def over(name: str, sentence: str, count: Callable[[Array], int]) -> None:
        @twist(operation, "dw", name, sentence)
        def _divided(result: Array, arrays: Arrays, settings: Settings) -> Array:
            return result / count(given(arrays, other))

    over("averaged over the batch", "dw is divided by the number of images; it is a sum over them.",
         len)  # fmt: skip
    over("averaged over the windows", "dw is divided by the number of windows; it is a sum.",
         lambda f: f.shape[2] * f.shape[3])  # fmt: skip
    over("averaged over batch and windows", "dw is divided by the number of terms; it is a sum.",
         lambda f: len(f) * f.shape[2] * f.shape[3])  # fmt: skip

    def part(name: str, sentence: str, keep: tuple[slice, ...]) -> None:
        @slip(operation, "dw", name, sentence)
        def _part(arrays: Arrays, settings: Settings) -> None:
            factor = np.zeros_like(given(arrays, other))
            factor[keep] = given(arrays, other)[keep]
            arrays[other] = factor

    every, last, first = slice(None), slice(-1, None), slice(0, 1)
    part("last image only", "Every image overwrites the one before (=); they add up (+=).",
         (last,))  # fmt: skip
    part("first image only", "Only the first image counts; the sum runs over the batch.", (first,))
    part("last window only", "Every window overwrites the one before (=); they add up (+=).",
         (every, every, last, last))  # fmt: skip
    part("last window of the last image only",
         "Every window of every image overwrites the one before (=); they add up (+=).",
         (last, every, last, last))  # fmt: skip
    part("first window only", "Only the first window counts; the sum runs over all of them.",
         (every, every, first, first))  # fmt: skip
    part("last row of windows only",
         "Every row of windows overwrites the one before (=); they add up (+=).",
         (every, every, last))  # fmt: skip
    part("without the last row of windows", "The loop over the rows stops one too early.",
         (every, every, slice(0, -1)))  # fmt: skip
    part("without the last column of windows", "The loop over the columns stops one too early.",
         (every, every, every, slice(0, -1)))  # fmt: skip
    part("last image left out", "The loop over the images stops one too early.", (slice(0, -1),))
    part("without the last row and column of windows",
         "The loops over the windows stop one too early.",
         (every, every, slice(0, -1), slice(0, -1)))  # fmt: skip

    @mistake(operation, "dw", "not summed over the batch",
             "There is a dw for every image; their sum is one gradient.")  # fmt: skip
    def _each(arrays: Arrays, settings: Settings, right: Right) -> Array:
        return np.stack([
            right({**arrays, image: given(arrays, image)[n : n + 1],
                   other: given(arrays, other)[n : n + 1]}, settings)
            for n in range(len(given(arrays, image)))
        ])  # fmt: skip


def _groups(operation: str, image: str, other: str) -> None:
    def blocks(
        role: str, name: str, sentence: str, change: Callable[[list[Array]], list[Array]]
    ) -> None:
        @slip(operation, "dw", name, sentence)
        def _blocks(arrays: Arrays, settings: Settings) -> None:
            parts = np.split(given(arrays, role), settings["groups"], axis=1)
            arrays[role] = np.concatenate(change(parts), axis=1)

    for role in (image, other):
        blocks(role, "groups ignored",
               "Every group gets what the first one's channels give; each has channels of its own.",
               lambda parts: parts[:1] * len(parts))  # fmt: skip
        blocks(role, "every group sees all channels",
               "The channels of all groups are added up; a group sees its own ones only.",
               lambda parts: [sum(parts[1:], parts[0])] * len(parts))  # fmt: skip
        blocks(role, "groups in reverse order", "The first group sees the last one's channels.",
               lambda parts: parts[::-1])  # fmt: skip

        @slip(operation, "dw", "groups interleaved",
              "Channel c is given to group c % groups; a group's channels are neighbours.",
              )  # fmt: skip
        def _interleaved(arrays: Arrays, settings: Settings, r: str = role) -> None:
            x = given(arrays, r)
            arrays[r] = x[:, interleaved(x.shape[1], settings["groups"])]

    @mistake(operation, "dw", "groups ignored",
             "Every output channel has a gradient for all input channels; it sees those of its "
             "group.")  # fmt: skip
    def _dense(arrays: Arrays, settings: Settings, right: Right) -> Array:
        w = given(arrays, "w")
        wide = np.zeros((w.shape[0], w.shape[1] * settings["groups"], *w.shape[2:]))
        return right({**arrays, "w": wide}, {**settings, "groups": 1})

    def sums(name: str, sentence: str, change: Callable[[list[Array]], list[Array]]) -> None:
        @twist(operation, "dw", name, sentence)
        def _sums(result: Array, arrays: Arrays, settings: Settings) -> Array:
            return np.concatenate(change(np.split(result, settings["groups"])))

    for back in (False, True):

        @twist(operation, "dw", "the groups' gradients interleaved",
               "The gradients of the groups are dealt out in turn; they stand one after the other.",
               )  # fmt: skip
        def _dealt(result: Array, arrays: Arrays, settings: Settings, back: bool = back) -> Array:
            order = interleaved(len(result), settings["groups"])
            return result[np.argsort(order) if back else order]

    sums("groups ignored", "Every group gets the first one's gradient; each has its own.",
         lambda parts: parts[:1] * len(parts))  # fmt: skip
    sums("the groups' gradients added up", "Every group gets the sum; each has its own gradient.",
         lambda parts: [sum(parts[1:], parts[0])] * len(parts))  # fmt: skip
    sums("first group only", "The other groups' gradients stay zero.",
         lambda parts: parts[:1] + [np.zeros_like(p) for p in parts[1:]])  # fmt: skip
    sums("last group only", "Each group overwrites the gradients of the others.",
         lambda parts: [np.zeros_like(p) for p in parts[:-1]] + parts[-1:])  # fmt: skip


def stale_gradients(operation: str) -> None:
    """Register mistakes of dx that are not made with windows."""

    @slip(operation, "dx", "dy ignored", "The products are taken with ones in place of dy.")
    def _ones(arrays: Arrays, settings: Settings) -> None:
        arrays["dy"] = np.ones_like(given(arrays, "dy"))

    @slip(operation, "dx", "w ignored", "The products are taken with ones in place of w.")
    def _no_weight(arrays: Arrays, settings: Settings) -> None:
        arrays["w"] = np.ones_like(given(arrays, "w"))

    @twist(operation, "dx", "multiplied with x",
           "The gradient is multiplied with x; the derivative of w·x by x is w.")  # fmt: skip
    def _times_x(result: Array, arrays: Arrays, settings: Settings) -> Array:
        return result * given(arrays, "x")

    @twist(operation, "dx", "added to x", "dx has x in it; it is the gradient alone.")
    def _plus_x(result: Array, arrays: Arrays, settings: Settings) -> Array:
        return result + given(arrays, "x")
