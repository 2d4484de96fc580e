"""Batch normalisation, and with it the ReLU behind it, in as few walks over memory as it takes.

A core adds a hundred numbers in the time in which memory delivers ten, so what counts here is how
often an array is read or written. Let x be one unit of memory:

==================  ==========================================================  =====
moments             read x: sums of ``x - shift`` and of its square             1
normalize (+ ReLU)  read x, write y                                             2
backward, sums      read dy and x: sums of g and of ``g (x - mean)``            2
backward, dx        read dy and x, write dx                                     3
==================  ==========================================================  =====

g is dy where the ReLU let the value pass; its sign is computed again from x, which is read anyway.

**One walk for mean and variance.** ``E[x²] - E[x]²`` loses every digit when the mean is much larger
than the spread; two walks, one for the mean and one for the squares around it, cost twice. But the
variance does not change when a constant is subtracted from x, and the formula is harmless when that
constant is anywhere near the mean. So: a rough mean from 64 pixels spread over the batch is the
shift, and one walk sums ``d = x - shift`` and ``d²``::

    mean = shift + E[d]        var = E[d²] - E[d]²

Few of the numbers (64 or so) are added up in float32, their totals in float64.

Source: T. Chan, G. Golub, R. LeVeque, "Algorithms for computing the sample variance" (1983),
section 3, for the shift and for sums in blocks.

Arrays must be stored channels last; others, and small ones, are left to the reference. A batch is
cut into parts for the worker threads, the same parts for any number of threads, and the sums of the
parts are added in their order. The walks themselves are in `engine.cpu.compiled.batch_norm`, or,
for float64 and without numba, in `engine.cpu.batch_norm_blocks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from typing import Any

import numpy as np

from minideconv.backend.algorithms import compiled
from minideconv.backend.parallel import map_ordered, part_size
from minideconv.engine.cpu import batch_norm_blocks
from minideconv.engine.cpu.memory import empty
from minideconv.engine.layout import as_images
from minideconv.ops.batch_norm import BatchNormSaved, batch_norm_backward_core
from minideconv.ops.batch_norm import backward_apply as backward_apply_core
from minideconv.ops.batch_norm import backward_sums as backward_sums_core
from minideconv.ops.batch_norm import moments as moments_core
from minideconv.ops.batch_norm import normalize as normalize_core
from minideconv.ops.conv import channel_sums as channel_sums_core

__all__ = [
    "backward_apply",
    "backward_sums",
    "batch_norm_relu_backward",
    "channel_sums",
    "moments",
    "normalize",
]

PART = 1 << 20  # numbers in a part at most: some tenths of a millisecond
SAMPLE = 64  # pixels that give the rough mean
SMALL = 8192  # numbers below which the reference is as fast

Array = np.ndarray
Parts = Sequence[tuple[Array, ...]]
"""Flat pieces of one or several arrays of the same shape, for the worker threads."""


@moments_core.faster("cpu")
def moments(x: Array) -> tuple[Array, Array] | None:
    """Return the mean and the biased variance of every channel, (C,) in float64."""
    pixels = as_pixels(x)
    if pixels is None:
        return None
    count = len(pixels)
    sample = pixels[:: -(-count // SAMPLE)]
    shift = np.add.reduce(sample, axis=0) * x.dtype.type(1 / len(sample))
    mean, square = _sums_about(pixels, shift) / count
    return shift + mean, np.maximum(square - mean * mean, 0.0)


@channel_sums_core.faster("cpu")
def channel_sums(x: Array) -> Array | None:
    """Return the sum of every channel, (C,): what a bias receives in the backward pass."""
    pixels = as_pixels(x)
    if pixels is None:
        return None
    sums, _ = _sums_about(pixels, np.zeros(x.shape[1], x.dtype))
    return sums.astype(x.dtype)


@normalize_core.faster("cpu")
def normalize(
    x: Array, saved: BatchNormSaved, weight: Array | None, bias: Array | None, relu: bool = False
) -> Array | None:
    """Return ``weight * (x - mean) * inv_std + bias``, or its positive part if `relu`."""
    walks = _Walks.of(x, saved, weight, bias)
    return None if walks is None else walks.normalize(relu)


@batch_norm_backward_core.faster("cpu")
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
    walks = _Walks.of(x, saved, weight, bias, dy, relu) if training else None
    if walks is None:
        return None
    dweight, dbias = walks.gradient_sums()
    dx = walks.gradient(dweight, dbias, x.size // x.shape[1])
    return dx, dweight.astype(x.dtype), dbias.astype(x.dtype)


@backward_sums_core.faster("cpu")
def backward_sums(dy: Array, x: Array, saved: BatchNormSaved) -> tuple[Array, Array] | None:
    """Return the gradients by weight and bias, (C,) in float64."""
    walks = _Walks.of(x, saved, None, None, dy)
    return None if walks is None else walks.gradient_sums()


@backward_apply_core.faster("cpu")
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
    walks = _Walks.of(x, saved, weight, None, dy) if training else None
    return None if walks is None else walks.gradient(dweight, dbias, count)


# ---------------------------------------------------------------------------------------------
# The walks


def _sums_about(pixels: Array, shift: Array) -> Array:
    """Sum ``d = x - shift`` and ``d²`` over the pixels: (2, C) in float64."""
    kernels = kernels_for(pixels.dtype)
    (row,) = _rows([shift], kernels.WIDTH, pixels.dtype)
    parts = _parts([pixels], row.size, summed=True)
    return _add_up(lambda x, *totals: kernels.moments(x, row, *totals), parts, row.size, shift.size)


@dataclass(frozen=True, slots=True)
class _Walks:
    """The walks over x, or over dy and x, once the statistics are there.

    ``z = scale (x - shift) + offset`` are the normalised values. `shift` is the mean in the
    precision of x, `error` what it lacks: ``mean - shift``. `line` has the rows of shift, scale and
    offset or, where a gradient passes everywhere, of shift, 0 and 1: every z is positive.
    """

    x: Array
    arrays: list[Array]
    kernels: Any
    inv_std: Array
    error: Array
    scale: Array
    line: list[Array]

    @classmethod
    def of(
        cls,
        x: Array,
        saved: BatchNormSaved,
        weight: Array | None,
        bias: Array | None,
        dy: Array | None = None,
        relu: bool = False,
    ) -> _Walks | None:
        """Return the walks, or None if these arrays are left to the reference."""
        pixels = as_pixels(x)
        above = pixels if dy is None else as_pixels(dy, copy=True)
        if pixels is None or above is None or above.dtype != x.dtype:
            return None
        kernels = kernels_for(x.dtype)
        shift = saved.mean.astype(x.dtype)
        error = saved.mean - shift
        scale = saved.inv_std if weight is None else saved.inv_std * weight
        offset = -error * scale if bias is None else bias - error * scale
        passes = (scale, offset)
        if dy is not None and not relu:
            passes = (np.zeros_like(shift), np.ones_like(shift))
        line = _rows((shift, *passes), kernels.WIDTH, x.dtype)
        arrays = [pixels] if dy is None else [above, pixels]
        return cls(x, arrays, kernels, saved.inv_std, error, scale, line)

    def normalize(self, relu: bool) -> Array:
        """Return z, or its positive part if `relu`."""
        return self._write(lambda x, y, past: self.kernels.normalize(x, *self.line, relu, y, past))

    def gradient_sums(self) -> tuple[Array, Array]:
        """Return the gradients by weight and bias, float64."""

        def walk(dy: Array, x: Array, *totals: Array) -> None:
            self.kernels.gradient_sums(dy, x, *self.line, *totals)

        width = self.line[0].size
        parts = _parts(self.arrays, width, summed=True)
        dbias, products = _add_up(walk, parts, width, self.error.size)
        return (products - self.error * dbias) * self.inv_std, dbias

    def gradient(self, dweight: Array, dbias: Array, count: int) -> Array:
        """Return dx."""
        # dx = scale (dy + slope (x - shift) + constant)
        slope = -self.inv_std * dweight / count
        constant = -slope * self.error - dbias / count
        rows = _rows((self.scale, slope, constant), self.kernels.WIDTH, self.x.dtype)

        def walk(dy: Array, x: Array, dx: Array, past: bool) -> None:
            self.kernels.gradient(dy, x, *self.line, *rows, dx, past)

        return self._write(walk)

    def _write(self, walk: Callable[..., None]) -> Array:
        """Return a new array like x, whose parts ``walk(*parts, part, past)`` writes."""
        channels = self.x.shape[1]
        y = empty((self.x.size // channels, channels), self.x.dtype)
        past = self.kernels.streamed(y)
        parts = _parts([*self.arrays, y], self.line[0].size)
        map_ordered(lambda part: walk(*part, past), parts)
        return as_images(y, self.x)


def kernels_for(dtype: Any) -> Any:
    """Return the module whose functions walk over arrays of `dtype`."""
    if dtype == np.float32 and compiled():
        from minideconv.engine.cpu.compiled import batch_norm as kernels

        return kernels
    return batch_norm_blocks


def _add_up(walk: Callable[..., None], parts: Parts, width: int, channels: int) -> Array:
    """Add up what ``walk(*part, totals, more totals)`` sums in rows of `width`: (2, C), float64."""
    totals = np.zeros((len(parts), 2, width))
    map_ordered(lambda i: walk(*parts[i], *totals[i]), range(len(parts)))
    # In the order of the parts, and in each of what is of the same channel.
    rows = totals.reshape(len(parts), 2, -1, channels).swapaxes(0, 1)
    return rows.reshape(2, -1, channels).sum(axis=1)


# ---------------------------------------------------------------------------------------------
# How the arrays are seen


def as_pixels(x: Array, copy: bool = False) -> Array | None:
    """View `x` as (pixels, C); return None if it is small, or (unless `copy`) stored otherwise."""
    if type(x) is not np.ndarray or x.dtype not in (np.float32, np.float64) or x.size < SMALL:
        return None
    last = x.transpose(0, 2, 3, 1) if x.ndim == 4 else x
    if not last.flags.c_contiguous:
        if not copy:
            return None
        last = np.ascontiguousarray(last)
    return last.reshape(-1, x.shape[1])


def _rows(numbers: Sequence[Array], width: int, dtype: Any) -> list[Array]:
    """Repeat each (C,) until it fills a row of `width` numbers or more, a multiple of 16."""
    channels = numbers[0].size
    period = channels * 16 // gcd(channels, 16)
    repeats = -(-width // period) * period // channels
    rows = np.empty((len(numbers), repeats, channels), dtype)
    rows[...] = np.array(numbers, dtype)[:, None]
    return list(rows.reshape(len(numbers), -1))


def _parts(arrays: Sequence[Array], width: int, summed: bool = False) -> Parts:
    """Cut arrays (pixels, C) of one shape into flat parts of `part_size`, roughly.

    They end after whole rows of `width`: their channels are then where the repeated rows have them,
    they begin with a cache line, and what is left over is at the end of the last part, however many
    there are.
    """
    flat = [array.reshape(-1) for array in arrays]
    size = flat[0].size
    rows = size // width
    number = min(round(size / part_size(size, PART, summed)), rows)
    if number < 2:
        return [tuple(flat)]
    ends = [rows * i // number * width for i in range(number)] + [size]
    return [tuple(array[start:stop] for array in flat) for start, stop in pairwise(ends)]
