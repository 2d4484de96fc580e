"""Wrong versions of conv2d."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from minideconv.testing.error_kinds import INDEX, OTHER, SHAPE, TRUTH, Fails
from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import Right, given, mistake, right_values, slip, vary
from minideconv.testing.mistakes.correlation import correlation_mistakes
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["bias_mistakes", "conv_parts", "remainder_rejected", "weights_read_the_other_way"]


def bias_mistakes(operation: str, *, inner: int) -> None:
    """Register wrong ways to add a bias; `inner` is the axis of the input channels in ``w``."""

    def changed(name: str, sentence: str, change: Callable[[Array, Array], Array]) -> None:
        @slip(operation, "y", name, sentence)
        def _changed(arrays: Arrays, settings: Settings) -> None:
            b, w = arrays["b"], given(arrays, "w")
            if b is not None:
                arrays["b"] = change(b, w) if inner else change(b, _group(w, settings["groups"]))

    changed("bias left out", "The bias is not added.", lambda b, w: np.zeros_like(b))
    changed("bias added twice", "The bias is added twice; once is enough.", lambda b, w: 2 * b)
    changed("bias subtracted", "The bias is subtracted; it is added.", lambda b, w: -b)
    changed("bias added with every tap",
            "The bias is added inside of the loop over the kernel; it is added once.",
            lambda b, w: b * w.shape[2] * w.shape[3])  # fmt: skip
    changed("bias added with every row of the kernel",
            "The bias is added inside of the loop over the kernel's rows; it is added once.",
            lambda b, w: b * w.shape[2])  # fmt: skip
    changed("bias added with every input channel",
            "The bias is added inside of the loop over the input channels; it is added once.",
            lambda b, w: b * w.shape[inner])  # fmt: skip
    changed("bias added with every product",
            "The bias is added inside of the loops over channels and taps; it is added once.",
            lambda b, w: b * w.shape[inner] * w.shape[2] * w.shape[3])  # fmt: skip
    changed("first bias used for every channel", "Only b[0] is used; channel k has b[k].",
            lambda b, w: np.full_like(b, b[0]))  # fmt: skip
    changed("last bias used for every channel", "Only b[-1] is used; channel k has b[k].",
            lambda b, w: np.full_like(b, b[-1]))  # fmt: skip
    changed("biases added up", "Every channel gets the sum of all biases; channel k has b[k].",
            lambda b, w: np.full_like(b, b.sum()))  # fmt: skip

    def by_call(
        name: str, sentence: str, change: Callable[[Array, Arrays, Settings], Array]
    ) -> None:
        @slip(operation, "y", name, sentence)
        def _changed(arrays: Arrays, settings: Settings) -> None:
            if arrays["b"] is not None:
                arrays["b"] = change(given(arrays, "b"), arrays, settings)

    by_call("bias added with every group",
            "The bias is added inside of the loop over the groups; it is added once.",
            lambda b, a, s: b * s["groups"])  # fmt: skip
    by_call("bias added with every image",
            "The bias is added inside of the loop over the images; it is added once.",
            lambda b, a, s: b * len(given(a, "x")))  # fmt: skip
    by_call("first group's bias used for all", "Every group is given the biases of the first one.",
            lambda b, a, s: np.tile(b[: len(b) // s["groups"]], s["groups"]))  # fmt: skip
    by_call("bias added to the first group only", "The other groups get no bias.",
            lambda b, a, s: np.where(np.arange(len(b)) < len(b) // s["groups"], b, 0))  # fmt: skip

    @mistake(operation, "y", "truth of an array asked",
             "`if b:` asks whether an array is true; ask `if b is not None`.")  # fmt: skip
    def _truth(arrays: Arrays, settings: Settings, right: Right) -> Array:
        b = arrays["b"]
        if b is not None and len(b) > 1:
            raise Fails(TRUTH)
        return right(arrays, settings)

    @mistake(operation, "y", "no bias not allowed for",
             "b may be None: then nothing is added.")  # fmt: skip
    def _no_bias(arrays: Arrays, settings: Settings, right: Right) -> Array:
        if arrays["b"] is None:
            raise Fails(OTHER)
        return right(arrays, settings)

    def added(name: str, sentence: str, add: Callable[[Array, Array], Array]) -> None:
        @mistake(operation, "y", name, sentence)
        def _added(arrays: Arrays, settings: Settings, right: Right) -> Array:
            y, b = right({**arrays, "b": None}, settings), arrays["b"]
            return y if b is None else add(y, b)

    added("bias added along the width", "y + b adds b to each row; b[k] belongs to channel k.",
          lambda y, b: y + b)  # fmt: skip
    added("bias added along the height", "b[i] is added to row i; b[k] belongs to channel k.",
          lambda y, b: y + b[:, None])  # fmt: skip
    added("bias added along the batch", "b[n] is added to image n; b[k] belongs to channel k.",
          lambda y, b: y + b[:, None, None, None])  # fmt: skip
    added("bias multiplied", "The result is multiplied with the bias; it is added.",
          lambda y, b: y * b[:, None, None])  # fmt: skip
    added("bias added to the first image only", "Every image gets the bias.",
          lambda y, b: np.concatenate([y[:1] + b[:, None, None], y[1:]]))  # fmt: skip
    added("bias added at the first pixel only", "Every pixel gets the bias.",
          lambda y, b: _at_the_corner(y, b))  # fmt: skip


def weights_read_the_other_way(operation: str, *, outer: int) -> None:
    """Register a weight whose first two axes are taken for those of the transposed operation."""
    right = right_values(operation, "y")

    def values(narrow: bool, arrays: Arrays, settings: Settings) -> Array:
        x, w, b, groups = given(arrays, "x"), given(arrays, "w"), arrays["b"], settings["groups"]
        blocks = [block.swapaxes(0, 1) for block in np.split(w, groups)]
        # The input channels that such code believes to belong to a group.
        count = blocks[0].shape[1 - outer]
        parts = [x[:, g * count : (g + 1) * count] for g in range(groups)]
        found = {part.shape[1] for part in parts}
        if found != {count} and (narrow or not found <= {1, count}):
            raise Fails(INDEX, SHAPE)
        parts = [np.broadcast_to(p, (len(x), count, *x.shape[2:])) for p in parts]
        turned: Arrays = {"x": np.concatenate(parts, 1), "w": np.concatenate(blocks), "b": None}
        y = right(turned, settings)
        return y if b is None else y + b[:, None, None]

    def put_into_the_result(arrays: Arrays, settings: Settings) -> Array:
        """Write the channels of each group to those of a result made for the right number."""
        x, w, b, groups = given(arrays, "x"), given(arrays, "w"), arrays["b"], settings["groups"]
        blocks = [block.swapaxes(0, 1) for block in np.split(w, groups)]
        room, made = blocks[0].shape[1 - outer], blocks[0].shape[outer]
        if made not in (1, room):
            raise Fails(INDEX, SHAPE)
        parts = [
            np.broadcast_to(p, (len(x), room, *x.shape[2:])) for p in np.split(x, groups, axis=1)
        ]
        turned: Arrays = {"x": np.concatenate(parts, 1), "w": np.concatenate(blocks), "b": None}
        y = right(turned, settings)
        y = y if made == room else y.repeat(room, axis=1)
        return y if b is None else y + b[:, None, None]

    vary(operation, "y", "weight's channels interchanged",
         partial(values, False), partial(values, True), put_into_the_result)  # fmt: skip


def remainder_rejected(operation: str, output: str, parts: Callable[..., list[Pair]]) -> None:
    """Register code that raises where the windows do not fill the image."""

    @mistake(operation, output, "geometries with a remainder rejected",
             "Where the stride does not divide (n + 2 padding - k), the last pixels are left out; "
             "it is no error.")  # fmt: skip
    def _rejected(arrays: Arrays, settings: Settings, right: Right) -> Array:
        for n, k, s, p, d in zip(*parts(arrays, settings), strict=True):
            if (n + 2 * p - d * (k - 1) - 1) % s:
                raise Fails(OTHER)
        return right(arrays, settings)


def conv_parts(arrays: Arrays, settings: Settings) -> list[Pair]:
    """Return the pairs that say how the windows of conv2d lie."""
    names = ("stride", "padding", "dilation")
    shapes = given(arrays, "x").shape[2:], given(arrays, "w").shape[2:]
    return [*shapes, *(settings[name] for name in names)]


def _group(w: Array, groups: int) -> Array:
    return w[: len(w) // groups]


def _at_the_corner(y: Array, b: Array) -> Array:
    y = y.copy()
    y[:, :, 0, 0] += b
    return y


correlation_mistakes("conv2d", "y", "x", outer=0)
bias_mistakes("conv2d", inner=1)
weights_read_the_other_way("conv2d", outer=0)
remainder_rejected("conv2d", "y", conv_parts)


def _groups_before_images(array: Array, groups: int) -> Array:
    """Reshape (N, C, ...) to (groups, N, C / groups, ...), which mixes images, and put N first."""
    n, c = array.shape[:2]
    mixed = array.reshape(groups, n, c // groups, *array.shape[2:]).swapaxes(0, 1)
    return mixed.reshape(array.shape)


def _images_after_groups(array: Array, groups: int) -> Array:
    """Put the groups first and reshape to (N, C, ...): the reverse."""
    n, c = array.shape[:2]
    parted = array.reshape(n, groups, c // groups, *array.shape[2:]).swapaxes(0, 1)
    return parted.reshape(array.shape)


for _at_first, _at_last in ((True, True), (True, False), (False, True)):

    @mistake("conv2d", "y", "images and groups mixed up by reshape",
             "An array (N, C, ...) is reshaped to (groups, N, ...) or back; its axes must be "
             "transposed.")  # fmt: skip
    def _mixed_up(
        arrays: Arrays,
        settings: Settings,
        right: Right,
        at_first: bool = _at_first,
        at_last: bool = _at_last,
    ) -> Array:
        x, b, groups = given(arrays, "x"), arrays["b"], settings["groups"]
        if at_first:
            x = _groups_before_images(x, groups)
        y = right({**arrays, "x": x, "b": None}, settings)
        if at_last:
            y = _images_after_groups(y, groups)
        return y if b is None else y + b[:, None, None]
