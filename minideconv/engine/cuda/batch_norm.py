"""Batch normalisation on a GPU, and with it the ReLU behind it: three launches each way.

==========  ===============================================  ======================================
forward     moments, finish_statistics, normalize            read x, read x and write y
backward    gradient_sums, finish_gradient_sums, gradient    read dy and x, read both and write dx
==========  ===============================================  ======================================

It is the same arithmetic as in `engine.cpu.batch_norm`, for the same reason: what takes time is how
often the large arrays come from memory. The launch in the middle works on a few numbers for each
channel, and does all there is to do with them, down to the running averages: as expressions of
arrays that would be a dozen launches, each of which costs as much as the middle one.

The kernels and their sources are in kernels/batch_norm.cu and batch_norm_finish.cu.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.channel_sums import (
    FILE,
    FINISH_FILE,
    finish,
    parts_of_sums,
    running_type,
)
from minideconv.engine.cuda.module import launch
from minideconv.engine.cuda.pixels import as_pixels, plan_for
from minideconv.engine.layout import as_images, contiguous
from minideconv.ops.batch_norm import BatchNormSaved, batch_norm_backward_core, batch_statistics
from minideconv.ops.batch_norm import backward_apply as backward_apply_core
from minideconv.ops.batch_norm import backward_sums as backward_sums_core
from minideconv.ops.batch_norm import from_running as from_running_core
from minideconv.ops.batch_norm import moments as moments_core
from minideconv.ops.batch_norm import normalize as normalize_core
from minideconv.ops.sync_batch_norm import merge

__all__ = [
    "affine",
    "backward_apply",
    "backward_sums",
    "batch_norm_relu_backward",
    "finish_gradient_sums",
    "from_running",
    "merge_moments",
    "moments",
    "normalize",
    "statistics",
]

RELU = 4
"""The flag of a ReLU in channel_line.cuh."""


# ---------------------------------------------------------------------------------------------
# Statistics


@moments_core.faster("gpu")
def moments(x: Array) -> tuple[Array, Array] | None:
    """Return the mean and the biased variance of every channel, (C,) in float64."""
    pixels = as_pixels(x)
    if pixels is None:
        return None
    mean, var = _numbers(x.shape[1], x)
    totals = parts_of_sums("moments", (pixels,))
    finish("finish_moments", totals, pixels, (pixels, len(pixels), mean, var))
    return mean, var


@batch_statistics.faster("gpu")
def statistics(
    x: Array, running_mean: Array | None, running_var: Array | None, momentum: float, eps: float
) -> BatchNormSaved | None:
    """Return what normalises the batch `x`; the running averages, if there are any, follow."""
    pixels = as_pixels(x)
    running = _running(running_mean, running_var, pixels)
    if pixels is None or running is None:
        return None
    saved = BatchNormSaved(*_numbers(x.shape[1], x))
    numbers = (len(pixels), eps, running_mean is not None, momentum)
    arguments = (pixels, *numbers, *running, *saved)
    finish("finish_statistics", parts_of_sums("moments", (pixels,)), pixels, arguments, running[0])
    return saved


@merge.faster("gpu")
def merge_moments(
    rows: Array, running_mean: Array | None, running_var: Array | None, momentum: float, eps: float
) -> tuple[BatchNormSaved, Array] | None:
    """Return the statistics of a batch that several processes share, and its values per channel.

    The number stays on the device, (1,) in float64; the running averages follow.
    """
    running = _running(running_mean, running_var, rows)
    if running is None:
        return None
    channels = rows.shape[1] // 2
    saved, total = BatchNormSaved(*_numbers(channels, rows)), get_xp(rows).empty(1, np.float64)
    numbers = (len(rows), channels, eps, running_mean is not None, momentum)
    arguments, defines = (rows, *numbers, *running, *saved, total), running_type(running[0])
    launch(FINISH_FILE, "merge_moments", channels, arguments, np.float64, defines=defines)
    return saved, total


@from_running_core.faster("gpu")
def from_running(running_mean: Array, running_var: Array, eps: float) -> BatchNormSaved | None:
    """Return what normalises in evaluation."""
    running = _running(running_mean, running_var, None)
    if running is None:
        return None
    count = running_mean.size
    saved = BatchNormSaved(*_numbers(count, running_mean))
    arguments, defines = (*running, count, eps, *saved), running_type(running_mean)
    launch(FINISH_FILE, "from_running", count, arguments, running_mean.dtype, defines=defines)
    return saved


# ---------------------------------------------------------------------------------------------
# Normalising


def affine(
    saved: BatchNormSaved, weight: Array | None, bias: Array | None, relu: bool, pixels: Array
) -> tuple[Any, ...]:
    """Return the first arguments of the kernels that normalise: statistics, weight, bias, flags.

    What is missing is a flag, and any array in its place.
    """
    flags = (weight is not None) + 2 * (bias is not None) + RELU * relu
    slope, offset = (
        pixels if array is None else contiguous(array, pixels.dtype) for array in (weight, bias)
    )
    return *saved, slope, offset, flags


@normalize_core.faster("gpu")
def normalize(
    x: Array, saved: BatchNormSaved, weight: Array | None, bias: Array | None, relu: bool = False
) -> Array | None:
    """Return ``weight * (x - mean) * inv_std + bias``, or its positive part if `relu`."""
    pixels = as_pixels(x)
    if pixels is None:
        return None
    plan = plan_for(len(pixels), pixels)
    y = get_xp(x).empty_like(pixels)
    line = affine(saved, weight, bias, relu, pixels)
    arguments = (pixels, *line, y, plan.rows, plan.columns, x.shape[1])
    plan.launch(FILE, "normalize", arguments)
    return as_images(y, x)


# ---------------------------------------------------------------------------------------------
# The way back


@batch_norm_backward_core.faster("gpu")
def batch_norm_relu_backward(
    dy: Array,
    x: Array,
    saved: BatchNormSaved,
    weight: Array | None,
    bias: Array | None,
    training: bool,
    relu: bool = True,
) -> tuple[Array, Array, Array] | None:
    """Return the gradients by x, weight and bias; without `relu` those of batch norm alone."""
    pair = _pair(dy, x)
    if pair is None:
        return None
    line = affine(saved, weight, bias, relu, pair[1])
    *sums, dweight, dbias = _gradient_sums(pair, line)
    dx = _gradient(pair, line, sums, len(pair[1]), training)
    return as_images(dx, x), dweight, dbias


@backward_sums_core.faster("gpu")
def backward_sums(dy: Array, x: Array, saved: BatchNormSaved) -> tuple[Array, Array] | None:
    """Return the gradients by weight and bias, (C,) in float64."""
    pair = _pair(dy, x)
    if pair is None:
        return None
    dweight, dbias, _, _ = _gradient_sums(pair, affine(saved, None, None, False, pair[1]))
    return dweight, dbias


@backward_apply_core.faster("gpu")
def backward_apply(
    dy: Array,
    x: Array,
    saved: BatchNormSaved,
    weight: Array | None,
    dweight: Array,
    dbias: Array,
    count: int,
    training: bool,
) -> Array | None:
    """Return the gradient by x, given the sums over `count` values of a channel."""
    pair = _pair(dy, x)
    if pair is None:
        return None
    line = affine(saved, weight, None, False, pair[1])
    dx = _gradient(pair, line, (dweight, dbias), count, training)
    return as_images(dx, x)


def _pair(dy: Array, x: Array) -> tuple[Array, Array] | None:
    above, pixels = as_pixels(dy), as_pixels(x)
    if above is None or pixels is None or dy.dtype != x.dtype:
        return None
    return above, pixels


def _gradient_sums(pair: tuple[Array, Array], line: tuple[Any, ...]) -> tuple[Array, ...]:
    """Return the gradients by weight and bias in float64, and both again in the type of x."""
    return finish_gradient_sums(parts_of_sums("gradient_sums", pair, line), line[:2], pair[1])


def finish_gradient_sums(totals: Array, saved: Sequence[Array], pixels: Array) -> tuple[Array, ...]:
    """Add up the parts of the sums; `pixels` (..., C) has the type of the last two."""
    xp, channels, real = get_xp(pixels), pixels.shape[1], pixels.dtype
    found = [xp.empty(channels, dtype) for dtype in (np.float64, np.float64, real, real)]
    finish("finish_gradient_sums", totals, pixels, (*saved, *found))
    return tuple(found)


def _gradient(
    pair: tuple[Array, Array],
    line: tuple[Any, ...],
    sums: Sequence[Array],
    count: int,
    training: bool,
) -> Array:
    """Return the gradient by x as (pixels, C)."""
    pixels = pair[1]
    plan = plan_for(len(pixels), *pair)
    dx: Array = get_xp(pixels).empty_like(pixels)
    shape = (plan.rows, plan.columns, pixels.shape[1])
    plan.launch(FILE, "gradient", (*pair, *line, *sums, count, training, dx, *shape))
    return dx


# ---------------------------------------------------------------------------------------------
# Arguments and launches


def _numbers(channels: int, like: Array) -> Array:
    """Return memory for two numbers of each channel."""
    numbers: Array = get_xp(like).empty((2, channels), np.float64)
    return numbers


def _running(
    mean: Array | None, var: Array | None, instead: Array | None
) -> tuple[Array, Array] | None:
    """Return the running averages, or something `instead`; None if the kernels take neither."""
    if mean is None or var is None:
        return None if instead is None else (instead, instead)
    for array in (mean, var):
        if array.dtype not in (np.float32, np.float64) or not array.flags.c_contiguous:
            return None
    return (mean, var) if mean.dtype == var.dtype else None
