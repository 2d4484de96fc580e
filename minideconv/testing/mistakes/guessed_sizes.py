"""Pooling's backward and unpooling that guess the size of the image: it is given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.mistakes.bank import Right, given, mistake
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

Pair = tuple[int, int]
Guess = Callable[[Pair, Pair, Array], Pair]
"""``guess(pooled size, given size, switches)``: the size that is taken for the image's."""


def _multiple(pooled: Pair, size: Pair, switches: Array) -> Pair:
    return pooled[0] * max(size[0] // pooled[0], 1), pooled[1] * max(size[1] // pooled[1], 1)


def _twice(pooled: Pair, size: Pair, switches: Array) -> Pair:
    return 2 * pooled[0], 2 * pooled[1]


def _largest_switch(pooled: Pair, size: Pair, switches: Array) -> Pair:
    return int(switches.max()) // size[1] + 1, size[1]


GUESSES: tuple[tuple[str, str, Guess], ...] = (
    ("size ignored: a multiple of {0}'s", "{1} is made {0}'s size times a whole number, so that "
     "rows and columns that no window reached are missing; its size is given.", _multiple),
    ("size ignored: twice {0}'s", "{1} is made twice as large as {0}; its size is given.", _twice),
    ("size ignored: up to the largest switch", "{1} ends with the row of the largest switch; its "
     "size is given.", _largest_switch),
)  # fmt: skip


def placed(
    values: Array, switches: Array, size: Pair, width: int, *, add: bool, skip: bool
) -> Array:
    """Return planes of a guessed size; a switch outside of them is left out, or fails."""
    planes = np.zeros((*values.shape[:2], *size))
    for image, channel, i, j in np.ndindex(*values.shape):
        row, column = divmod(int(switches[image, channel, i, j]), width)
        if row >= size[0] or column >= size[1]:
            if skip:
                continue
            raise IndexError("index is out of bounds")
        here = planes[image, channel]
        here[row, column] = values[image, channel, i, j] + here[row, column] * add
    return planes


def _register(operation: str, output: str, role: str, add: bool) -> None:
    for name, sentence, guess in GUESSES:
        for own_width in (True, False):
            for skip in (True, False):

                @mistake(operation, output, name.format(role), sentence.format(role, output))
                def _guessed(
                    arrays: Arrays,
                    settings: Settings,
                    right: Right,
                    guess: Guess = guess,
                    own_width: bool = own_width,
                    skip: bool = skip,
                ) -> Array:
                    values, switches = given(arrays, role), given(arrays, "switches")
                    pooled = (values.shape[2], values.shape[3])
                    size = guess(pooled, settings["size"], switches)
                    width = (size if own_width else settings["size"])[1]
                    return placed(values, switches, size, width, add=add, skip=skip)


_register("max_pool2d_backward", "dx", "dy", True)
_register("max_unpool2d", "x", "y", False)
