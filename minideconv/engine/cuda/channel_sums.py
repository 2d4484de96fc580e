"""Sums over all pixels, one for each channel: two launches.

The first makes them in parts, one for each block of threads; the second adds up the parts of a
channel and does the arithmetic with the few numbers that come out (kernels/channel_sums.cuh).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.module import launch
from minideconv.engine.cuda.pixels import as_pixels, plan_for
from minideconv.ops.conv import channel_sums as channel_sums_core

__all__ = ["FILE", "FINISH_FILE", "channel_sums", "finish", "parts_of_sums", "running_type"]

FILE, FINISH_FILE = "batch_norm.cu", "batch_norm_finish.cu"

_BLOCK = (8, 32)  # channels, and threads that share the parts of one


@channel_sums_core.faster("gpu")
def channel_sums(x: Array) -> Array | None:
    """Return the sum of every channel, (C,): what a bias receives in the backward pass."""
    pixels = as_pixels(x)
    if pixels is None:
        return None
    plan, xp = plan_for(len(pixels), pixels), get_xp(x)
    totals = xp.empty((1, plan.parts, plan.columns), np.float64)
    plan.launch(FILE, "sums", (pixels, totals, plan.rows, plan.columns), adds_up=True)
    y: Array = xp.empty(x.shape[1], x.dtype)
    finish("finish_sums", totals, pixels, (y,))
    return y


def parts_of_sums(kernel: str, arrays: Sequence[Array], line: Sequence[Any] = ()) -> Array:
    """Return the two sums over pixels that a kernel makes in parts: (2, parts, columns)."""
    pixels = arrays[-1]
    plan = plan_for(len(pixels), *arrays)
    totals: Array = get_xp(pixels).empty((2, plan.parts, plan.columns), np.float64)
    arguments = (*arrays, *line, totals, plan.rows, plan.columns, pixels.shape[1])
    plan.launch(FILE, kernel, arguments, adds_up=True)
    return totals


def finish(
    kernel: str,
    totals: Array,
    pixels: Array,
    arguments: tuple[Any, ...],
    running: Array | None = None,
) -> None:
    """Launch a kernel that adds up `totals` (sums, parts, columns), (sums, any, C) in memory."""
    channels = pixels.shape[1]
    launch(
        *(FINISH_FILE, kernel, 1),
        (totals, totals.size // (len(totals) * channels), channels, *arguments),
        pixels.dtype,
        defines=running_type(pixels if running is None else running),
        block=_BLOCK,
        grid=(-(-channels // _BLOCK[0]),),
    )


def running_type(running: Array) -> tuple[str, ...]:
    """Return the macro with the type of the running averages."""
    return ("RUNNING=" + ("float" if running.dtype == np.float32 else "double"),)
