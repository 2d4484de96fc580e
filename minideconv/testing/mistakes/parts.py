"""Parts of a result that are left out, whatever the operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minideconv.testing.mistakes.bank import given, slip, twist
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["first_used", "one_place_twists", "reversed_slip", "windows_left_out", "zeros_twist"]


def zeros_twist(operation: str, output: str) -> None:
    """Register a result that is never written to."""

    @twist(operation, output, "zeros returned", f"{output} is made, but never written to: what is "
           "written to is a copy, or is not returned.")  # fmt: skip
    def _zeros(result: Array, arrays: Arrays, settings: Settings) -> Array:
        return np.zeros_like(result)


def kept(axis: int, place: int) -> Callable[[Array], Array]:
    """Return what makes all but one image or channel 0."""

    def change(array: Array) -> Array:
        result: Array = np.zeros_like(array)
        here: Any = (slice(None),) * axis + ([place],)
        result[here] = array[here]
        return result

    return change


def repeated(axis: int, place: int) -> Callable[[Array], Array]:
    """Return what gives every image or channel the result of one."""
    return lambda array: np.repeat(array.take([place], axis), array.shape[axis], axis)


def one_place_twists(operation: str, output: str, what: str) -> None:
    """Register results of the first or last image or channel only; `what` the others lack."""

    def changed(name: str, sentence: str, change: Callable[[Array], Array]) -> None:
        @twist(operation, output, name, sentence)
        def _changed(result: Array, arrays: Arrays, settings: Settings) -> Array:
            return change(result)

    for axis, part in ((0, "image"), (1, "channel")):
        for text, place in (("first", 0), ("last", -1)):
            name = f"{text} {part} only"
            changed(name, f"Every {part} but the {text} is left 0: it gets no {what}.",
                    kept(axis, place))  # fmt: skip
            changed(name, f"Every {part} gets the {text} one's result; each has its own.",
                    repeated(axis, place))  # fmt: skip


def windows_left_out(operation: str, output: str, role: str) -> None:
    """Register loops over the windows of one array and its switches that end one too early."""
    last, every = slice(None, -1), slice(None)
    for what, places in (
        ("row", (last, every)),
        ("column", (every, last)),
        ("row and column", (last, last)),
    ):

        @slip(operation, output, f"last {what} of windows left out",
              f"The loops over the windows end before the last {what}; all of them "
              "count.")  # fmt: skip
        def _cut(arrays: Arrays, settings: Settings, places: tuple[slice, slice] = places) -> None:
            for name in (role, "switches"):
                arrays[name] = given(arrays, name)[:, :, places[0], places[1]]


def reversed_slip(operation: str, output: str, role: str) -> None:
    """Register values that are taken from the last window to the first."""

    @slip(operation, output, "values in reverse order", f"{role} is read from the last window to "
          "the first, the switches from the first to the last.")  # fmt: skip
    def _reversed(arrays: Arrays, settings: Settings) -> None:
        arrays[role] = given(arrays, role)[:, :, ::-1, ::-1]


def first_used(operation: str, output: str, role: str, what: str) -> None:
    """Register code that reads the first channel's or image's numbers for all of them."""
    for axis, part in ((1, "channel"), (0, "image")):

        @slip(operation, output, f"{what} of the first {part} used for all",
              f"Every {part} is given the first one's {role}; each has its own.")  # fmt: skip
        def _first(arrays: Arrays, settings: Settings, axis: int = axis) -> None:
            arrays[role] = repeated(axis, 0)(given(arrays, role))
