"""Batch normalisation on a GPU, and with it the ReLU behind it: three launches each way.

==========  ===============================================  ======================================
forward     moments, finish_statistics, normalize            read x, read x and write y
backward    gradient_sums, finish_gradient_sums, gradient    read dy and x, read both and write dx
==========  ===============================================  ======================================

It is the same arithmetic as in `engine.batch_norm`, for the same reason: what takes time is how
often the large arrays come from memory. The launch in the middle works on a few numbers for each
channel, and does all there is to do with them, down to the running averages: as expressions of
arrays that would be a dozen launches, each of which costs as much as the middle one.

The kernels and their sources are in kernels/batch_norm.cu and batch_norm_finish.cu.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.module import launch
from minideconv.engine.cuda.pixels import Pixels, aligned, as_images, as_pixels, pixels_plan
from minideconv.ops.batch_norm import BatchNormSaved, batch_norm_backward_core, batch_statistics
from minideconv.ops.batch_norm import backward_apply as backward_apply_core
from minideconv.ops.batch_norm import backward_sums as backward_sums_core
from minideconv.ops.batch_norm import from_moments as from_moments_core
from minideconv.ops.batch_norm import from_running as from_running_core
from minideconv.ops.batch_norm import moments as moments_core
from minideconv.ops.batch_norm import normalize as normalize_core
from minideconv.ops.conv import channel_sums as channel_sums_core
from minideconv.ops.sync_batch_norm import merge

__all__ = [
    "Affine",
    "backward_apply",
    "backward_sums",
    "batch_norm_relu_backward",
    "channel_sums",
    "finish_gradient_sums",
    "from_moments",
    "from_running",
    "merge_moments",
    "moments",
    "normalize",
    "statistics",
]

WALKS, FINISH = "batch_norm.cu", "batch_norm_finish.cu"

FINISH_BLOCK = (8, 32)
"""Channels, and threads that share the parts of one."""

RELU = 4
"""The flag of a ReLU in channel_line.cuh."""

Gradients = tuple[Array, Array, Array]


# ---------------------------------------------------------------------------------------------
# Sums over a channel, and what is made of them


@channel_sums_core.faster("gpu")
def channel_sums(x: Array) -> Array | None:
    """Return the sum of every channel, (C,): what a bias receives in the backward pass."""
    pixels = as_pixels(x)
    if pixels is None:
        return None
    plan = _plan(pixels)
    totals = _totals(1, plan, x)
    _walk("sums", plan, (plan.parts, plan.wide), x, (pixels, totals, plan.rows, plan.columns))
    y = get_xp(x).empty(x.shape[1], x.dtype)
    _finish("finish_sums", x, (totals, totals.size // y.size, y.size, y))
    return y


@moments_core.faster("gpu")
def moments(x: Array) -> tuple[Array, Array] | None:
    """Return the mean and the biased variance of every channel, (C,) in float64."""
    pixels = as_pixels(x)
    if pixels is None:
        return None
    mean, var = _numbers(x), _numbers(x)
    _finish("finish_moments", x, (*_moments(pixels), len(pixels), mean, var))
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
    saved = BatchNormSaved(_numbers(x), _numbers(x))
    numbers = (len(pixels), eps, running_mean is not None, momentum, *running)
    arguments = (*_moments(pixels), *numbers, *saved)
    _finish("finish_statistics", x, arguments, running[0])
    return saved


@from_moments_core.faster("gpu")
def from_moments(
    mean: Array,
    var: Array,
    count: int,
    running_mean: Array | None,
    running_var: Array | None,
    momentum: float,
    eps: float,
) -> BatchNormSaved | None:
    """Return what normalises a batch with these moments; the running averages follow."""
    running = _running(running_mean, running_var, mean)
    if running is None:
        return None
    saved = BatchNormSaved(mean, get_xp(mean).empty_like(mean))
    numbers = (mean.size, count, eps, running_mean is not None, momentum, *running)
    arguments = (mean, var, *numbers, saved.inv_std)
    launch(FINISH, "from_moments", mean.size, arguments, np.float64, defines=_type(running[0]))
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
    xp, channels = get_xp(rows), rows.shape[1] // 2
    saved = BatchNormSaved(*xp.empty((2, channels), np.float64))
    total: Array = xp.empty(1, np.float64)
    numbers = (len(rows), channels, eps, running_mean is not None, momentum, *running)
    arguments = (rows, *numbers, *saved, total)
    launch(FINISH, "merge_moments", channels, arguments, np.float64, defines=_type(running[0]))
    return saved, total


@from_running_core.faster("gpu")
def from_running(running_mean: Array, running_var: Array, eps: float) -> BatchNormSaved | None:
    """Return what normalises in evaluation."""
    running = _running(running_mean, running_var, None)
    if running is None:
        return None
    saved = BatchNormSaved(_numbers(running_mean[None]), _numbers(running_mean[None]))
    arguments = (*running, running_mean.size, eps, *saved)
    dtype = running_mean.dtype
    launch(FINISH, "from_running", running_mean.size, arguments, dtype, defines=_type(running[0]))
    return saved


def _moments(pixels: Array) -> tuple[Any, ...]:
    """Add up the parts' sums; return what a kernel needs to finish them."""
    plan = _plan(pixels)
    totals = _totals(2, plan, pixels)
    channels = pixels.shape[1]
    arguments = (pixels, totals, plan.rows, plan.columns, channels)
    _walk("moments", plan, (plan.parts, plan.wide), pixels, arguments)
    return totals, totals.size // (2 * channels), channels, pixels


# ---------------------------------------------------------------------------------------------
# Normalising


class Affine(NamedTuple):
    """The first arguments of the kernels that normalise: statistics, weight, bias, flags."""

    mean: Array
    inv_std: Array
    weight: Array
    bias: Array
    flags: int

    @classmethod
    def of(
        cls,
        saved: BatchNormSaved,
        weight: Array | None,
        bias: Array | None,
        relu: bool,
        pixels: Array,
    ) -> Affine:
        """Put them together; what is missing is a flag, and any array in its place."""
        flags = (weight is not None) + 2 * (bias is not None) + RELU * relu
        xp, dtype = get_xp(pixels), pixels.dtype
        slope = pixels if weight is None else xp.ascontiguousarray(weight, dtype)
        offset = pixels if bias is None else xp.ascontiguousarray(bias, dtype)
        return cls(*saved, slope, offset, flags)


@normalize_core.faster("gpu")
def normalize(
    x: Array, saved: BatchNormSaved, weight: Array | None, bias: Array | None, relu: bool = False
) -> Array | None:
    """Return ``weight * (x - mean) * inv_std + bias``, or its positive part if `relu`."""
    pixels = as_pixels(x)
    if pixels is None:
        return None
    plan = _plan(pixels)
    y = get_xp(x).empty_like(pixels)
    affine = Affine.of(saved, weight, bias, relu, pixels)
    arguments = (pixels, *affine, y, plan.rows, plan.columns, x.shape[1])
    _walk("normalize", plan, plan.grid, x, arguments)
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
) -> Gradients | None:
    """Return the gradients by x, weight and bias; without `relu` those of batch norm alone."""
    pair = _pair(dy, x)
    if pair is None:
        return None
    affine = Affine.of(saved, weight, bias, relu, pair[1])
    *sums, dweight, dbias = _gradient_sums(pair, affine)
    dx = _gradient(pair, affine, sums, len(pair[1]), training)
    return as_images(dx, x), dweight, dbias


@backward_sums_core.faster("gpu")
def backward_sums(dy: Array, x: Array, saved: BatchNormSaved) -> tuple[Array, Array] | None:
    """Return the gradients by weight and bias, (C,) in float64."""
    pair = _pair(dy, x)
    if pair is None:
        return None
    dweight, dbias, _, _ = _gradient_sums(pair, Affine.of(saved, None, None, False, pair[1]))
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
    affine = Affine.of(saved, weight, None, False, pair[1])
    dx = _gradient(pair, affine, (dweight, dbias), count, training)
    return as_images(dx, x)


def _pair(dy: Array, x: Array) -> tuple[Array, Array] | None:
    above, pixels = as_pixels(dy), as_pixels(x)
    if above is None or pixels is None or dy.dtype != x.dtype:
        return None
    return above, pixels


def _gradient_sums(pair: tuple[Array, Array], affine: Affine) -> tuple[Array, ...]:
    """Return the gradients by weight and bias in float64, and both again in the type of x."""
    plan = _plan(*pair)
    totals = _totals(2, plan, pair[1])
    channels = pair[1].shape[1]
    arguments = (*pair, *affine, totals, plan.rows, plan.columns, channels)
    _walk("gradient_sums", plan, (plan.parts, plan.wide), pair[1], arguments)
    return finish_gradient_sums(totals, affine, pair[1])


def finish_gradient_sums(totals: Array, affine: Affine, x: Array) -> tuple[Array, ...]:
    """Add up the parts of `_gradient_sums`; `x` (..., C) says what type and how many."""
    xp, channels = get_xp(x), affine.mean.size
    numbers = [xp.empty(channels, dtype) for dtype in (np.float64, np.float64, x.dtype, x.dtype)]
    parts = totals.size // (2 * channels)
    arguments = (totals, parts, channels, affine.mean, affine.inv_std, *numbers)
    _finish("finish_gradient_sums", x, arguments)
    return tuple(numbers)


def _gradient(
    pair: tuple[Array, Array], affine: Affine, sums: Sequence[Array], count: int, training: bool
) -> Array:
    """Return the gradient by x as (pixels, C)."""
    plan = _plan(*pair)
    dx: Array = get_xp(pair[1]).empty_like(pair[1])
    shape = (plan.rows, plan.columns, pair[1].shape[1])
    arguments = (*pair, *affine, *sums, count, training, dx, *shape)
    _walk("gradient", plan, plan.grid, pair[1], arguments)
    return dx


# ---------------------------------------------------------------------------------------------
# Arguments and launches


def _plan(*pixels: Array) -> Pixels:
    rows, channels = pixels[0].shape
    return pixels_plan(rows, channels, pixels[0].dtype, whole=aligned(*pixels))


def _totals(quantities: int, plan: Pixels, like: Array) -> Array:
    """Return memory for the parts' sums."""
    parts: Array = get_xp(like).empty((quantities, plan.parts, plan.columns), np.float64)
    return parts


def _numbers(x: Array) -> Array:
    """Return memory for a number of each channel."""
    numbers: Array = get_xp(x).empty(x.shape[1], np.float64)
    return numbers


def _walk(
    kernel: str, plan: Pixels, grid: tuple[int, int], x: Array, arguments: tuple[Any, ...]
) -> None:
    launch(WALKS, kernel, 1, arguments, x.dtype, defines=plan.defines, block=plan.block, grid=grid)


def _finish(
    kernel: str, x: Array, arguments: tuple[Any, ...], running: Array | None = None
) -> None:
    """Launch a kernel of one block for each few channels of `x`."""
    launch(
        FINISH,
        kernel,
        1,
        arguments,
        x.dtype,
        defines=_type(x if running is None else running),
        block=FINISH_BLOCK,
        grid=(-(-x.shape[1] // FINISH_BLOCK[0]),),
    )


def _type(running: Array) -> tuple[str, ...]:
    return ("RUNNING=" + ("float" if running.dtype == np.float32 else "double"),)


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
