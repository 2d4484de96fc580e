"""Wrong versions of conv2d."""

from __future__ import annotations

import numpy as np

from minideconv.testing.mistakes.bank import Right, mistake, pad, slip
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank


def given(arrays: Arrays, role: str) -> Array:
    """Return an array that is never left out."""
    array = arrays[role]
    assert array is not None
    return array


@slip("conv2d", "y", "kernel flipped",
      "The kernel is turned by 180 degrees, as a convolution of signal processing has it; "
      "conv2d correlates.")  # fmt: skip
def _kernel_flipped(arrays: Arrays, settings: Settings) -> None:
    arrays["w"] = given(arrays, "w")[:, :, ::-1, ::-1]


@slip("conv2d", "y", "kernel flipped upside down",
      "The kernel's rows are read from the last to the first; nothing is flipped.")  # fmt: skip
def _kernel_rows_flipped(arrays: Arrays, settings: Settings) -> None:
    arrays["w"] = given(arrays, "w")[:, :, ::-1]


@slip("conv2d", "y", "stride swapped",
      "The strides of height and width are swapped; stride is (height, width).")  # fmt: skip
def _stride_swapped(arrays: Arrays, settings: Settings) -> None:
    settings["stride"] = settings["stride"][::-1]


@mistake("conv2d", "y", "stride ignored",
         "Windows move by one pixel whatever the stride is.")  # fmt: skip
def _stride_ignored(arrays: Arrays, settings: Settings, right: Right) -> Array:
    y = right(arrays, settings)
    return right(arrays, {**settings, "stride": (1, 1)})[:, :, : y.shape[2], : y.shape[3]]


@slip("conv2d", "y", "bias left out", "The bias is not added.")
def _bias_missing(arrays: Arrays, settings: Settings) -> None:
    arrays["b"] = None


@mistake("conv2d", "y", "padded by repeating the border",
         "The border is padded with the nearest pixel; the padding is zeros.")  # fmt: skip
def _padding_by_edge(arrays: Arrays, settings: Settings, right: Right) -> Array:
    ph, pw = settings["padding"]
    x = pad(given(arrays, "x"), ph, ph, pw, pw, "edge")
    return right({**arrays, "x": x}, {**settings, "padding": (0, 0)})


@mistake("conv2d", "y", "first image only",
         "Every image of the batch gets the first one's result.")  # fmt: skip
def _first_image_only(arrays: Arrays, settings: Settings, right: Right) -> Array:
    y = right(arrays, settings)
    return np.repeat(y[:1], len(y), axis=0)
