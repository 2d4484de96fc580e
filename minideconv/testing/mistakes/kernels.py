"""Mistakes with the order of a weight's numbers, and with those that are left out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minideconv.testing.mistakes.bank import given, slip
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["kernel_misread", "kernel_slips", "zeroed"]


def kernel_misread(w: Array) -> Array:
    """Read the taps in column order, as if the kernel were stored (kw, kh)."""
    kh, kw = w.shape[2:]
    return w.reshape(*w.shape[:2], kw, kh).swapaxes(2, 3)


def kernel_slips(operation: str, output: str, why_not_flipped: str, *, outer: int = 0) -> None:
    """Register what goes wrong with the order of the weight's numbers.

    `outer` is the axis of the output channels: 0 in conv2d, 1 in conv_transpose2d.
    """
    inner = 1 - outer

    def weight(name: str, sentence: str, change: Callable[[Array], Array]) -> None:
        @slip(operation, output, name, sentence)
        def _changed(arrays: Arrays, settings: Settings) -> None:
            arrays["w"] = change(given(arrays, "w"))

    def by_group(name: str, sentence: str, change: Callable[[Array], Array], axis: int) -> None:
        @slip(operation, output, name, sentence)
        def _changed(arrays: Arrays, settings: Settings) -> None:
            w = given(arrays, "w")
            parts = np.split(w, settings["groups"]) if axis == 0 else [w]
            arrays["w"] = np.concatenate([change(part) for part in parts])

    weight("kernel flipped", f"The kernel is turned by 180 degrees; {why_not_flipped}",
           lambda w: w[:, :, ::-1, ::-1])  # fmt: skip
    weight("kernel flipped upside down",
           "The kernel's rows are read from the last to the first; nothing is flipped.",
           lambda w: w[:, :, ::-1])  # fmt: skip
    weight("kernel flipped left to right",
           "The kernel's columns are read from the last to the first; nothing is flipped.",
           lambda w: w[:, :, :, ::-1])  # fmt: skip
    weight("kernel transposed",
           "Rows and columns of the kernel are interchanged; the kernel is (kh, kw).",
           lambda w: w.swapaxes(2, 3))  # fmt: skip
    for change in (kernel_misread, lambda w: w.swapaxes(2, 3).reshape(w.shape)):
        weight("kernel read column by column",
               "The taps are read in column order, or as if they stood so; they stand row by row.",
               change)  # fmt: skip

    if operation != "conv_matrix":

        @slip(operation, output, "kernel transposed",
              "Rows and columns of the dilated kernel are interchanged; the kernel is (kh, kw).",
              )  # fmt: skip
        def _dilated_transposed(arrays: Arrays, settings: Settings) -> None:
            arrays["w"] = given(arrays, "w").swapaxes(2, 3)
            settings["dilation"] = settings["dilation"][::-1]

    axes = "(C_out, C_in)" if outer else "(C_in, C_out)"
    must = "(C_in, C_out)" if outer else "(C_out, C_in)"
    for change in (
        lambda w: w.swapaxes(0, 1),
        lambda w: w.reshape(w.shape[1], w.shape[0], *w.shape[2:]).swapaxes(0, 1),
    ):
        weight("weight's channels interchanged",
               f"The weight is read as {axes}; its axes are {must}.", change)  # fmt: skip
    weight("weight read with its channels last",
           "The taps are read in the order (kh, kw, channels); they are stored (channels, kh, kw).",
           lambda w: w.reshape(w.shape[0], *w.shape[2:], w.shape[1]).transpose(0, 3, 1, 2),
           )  # fmt: skip
    weight("input channels in reverse order",
           "The kernel of input channel c meets the last channel but c; it meets channel c.",
           lambda w: np.flip(w, inner))  # fmt: skip
    for name, lost in (
        ("last row of the kernel left out", (slice(None), slice(None), slice(-1, None))),
        ("last column of the kernel left out", (..., slice(-1, None))),
        ("first row of the kernel left out", (slice(None), slice(None), slice(0, 1))),
        ("first column of the kernel left out", (..., slice(0, 1))),
    ):
        weight(name, "The loop over the kernel stops or begins one too early; it visits every tap.",
               partial(zeroed, place=lost))  # fmt: skip
    weight("last row and column of the kernel left out",
           "The loops over the kernel stop one too early; they visit every tap.",
           lambda w: zeroed(zeroed(w, (..., slice(-1, None))),
                             (slice(None), slice(None), slice(-1, None))))  # fmt: skip
    weight("last tap only", "Every tap overwrites the one before (=); they add up (+=).",
           _last_tap)  # fmt: skip
    weight("last row of the kernel only",
           "Every row of taps overwrites the one before (=); they add up (+=).",
           lambda w: zeroed(w, (slice(None), slice(None), slice(0, -1))))  # fmt: skip
    weight("averaged over the taps", "The sum is divided by kh kw; it is a sum, not a mean.",
           lambda w: w / (w.shape[2] * w.shape[3]))  # fmt: skip

    def along(axis: int, place: slice) -> tuple[slice, ...]:
        return tuple(place if a == axis else slice(None) for a in range(4))

    kinds = ("input", inner), ("output", outer)
    for kind, axis in kinds if output in ("y", "dx", "A") else ():
        summed = (kind == "input") == (output == "y") and output != "A"
        if not summed:
            weight(f"first {kind} channel's kernel used for all",
                   f"One kernel serves every {kind} channel; each has its own.",
                   partial(_repeated, axis=axis))  # fmt: skip
            continue
        by_group(f"last {kind} channel only",
                 f"Every {kind} channel overwrites the one before (=); they add up (+=).",
                 partial(zeroed, place=along(axis, slice(0, -1))), axis)  # fmt: skip
        by_group(f"first {kind} channel only",
                 f"Only the first {kind} channel counts; the sum runs over all of them.",
                 partial(zeroed, place=along(axis, slice(1, None))), axis)  # fmt: skip
        by_group(f"averaged over the {kind} channels",
                 f"The sum over the {kind} channels is divided by their number; it is a sum.",
                 partial(_divided, axes=(axis,)), axis)  # fmt: skip
        by_group(f"first {kind} channel's kernel used for all",
                 f"One kernel serves every {kind} channel; each has its own.",
                 partial(_repeated, axis=axis), axis)  # fmt: skip
        by_group("averaged over taps and channels",
                 "The sum is divided by the number of its terms; it is a sum, not a mean.",
                 partial(_divided, axes=(axis, 2, 3)), axis)  # fmt: skip


def _repeated(w: Array, axis: int) -> Array:
    return np.repeat(w.take([0], axis), w.shape[axis], axis)


def _divided(w: Array, axes: tuple[int, ...]) -> Array:
    return w / np.prod([w.shape[axis] for axis in axes])


def zeroed(w: Array, place: Any) -> Array:
    """Return a copy with zeros in a place."""
    w = w.copy()
    w[place] = 0
    return w


def _last_tap(w: Array) -> Array:
    last = np.zeros_like(w)
    last[..., -1, -1] = w[..., -1, -1]
    return last
