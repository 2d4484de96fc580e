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

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from typing import Any

import numpy as np

from minideconv.backend.algorithms import compiled
from minideconv.backend.parallel import map_ordered
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

PART = 1 << 20  # numbers in a part: some tenths of a millisecond
SAMPLE = 64  # pixels that give the rough mean
SMALL = 8192  # numbers below which the reference is as fast

Gradients = tuple[np.ndarray, np.ndarray, np.ndarray]


@moments_core.faster("cpu")
def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
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
def channel_sums(x: np.ndarray) -> np.ndarray | None:
    """Return the sum of every channel, (C,): what a bias receives in the backward pass."""
    pixels = as_pixels(x)
    if pixels is None:
        return None
    sums, _ = _sums_about(pixels, np.zeros(x.shape[1], x.dtype))
    return sums.astype(x.dtype)


def _sums_about(pixels: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Sum ``d = x - shift`` and ``d²`` over the pixels: (2, C) in float64."""
    walks = walks_for(pixels.dtype)
    row = _rows([shift], walks.WIDTH, pixels.dtype)[0]

    def add_up(part: np.ndarray) -> np.ndarray:
        totals = np.zeros((2, row.size))
        walks.moments(part, row, totals[0], totals[1])
        return totals

    return _add_parts(map_ordered(add_up, _parts(pixels)), shift.size)


@normalize_core.faster("cpu")
def normalize(
    x: np.ndarray,
    saved: BatchNormSaved,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    relu: bool = False,
) -> np.ndarray | None:
    """Return ``weight * (x - mean) * inv_std + bias``, or its positive part if `relu`."""
    pixels = as_pixels(x)
    if pixels is None:
        return None
    walks = walks_for(x.dtype)
    shift, error = _shift(saved, x.dtype)
    numbers = (shift, *_scale_and_offset(saved, weight, bias, error))
    rows = _rows(numbers, walks.WIDTH, x.dtype)
    y = empty(pixels.shape, x.dtype)
    past = walks.streamed(y)

    def apply(parts: tuple[np.ndarray, np.ndarray]) -> None:
        walks.normalize(parts[0], *rows, relu, parts[1], past)

    map_ordered(apply, list(zip(_parts(pixels), _parts(y), strict=True)))
    return as_images(y, x)


@batch_norm_backward_core.faster("cpu")
def batch_norm_relu_backward(
    dy: np.ndarray,
    x: np.ndarray,
    saved: BatchNormSaved,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    training: bool,
    relu: bool = True,
) -> Gradients | None:
    """Return the gradients by x, weight and bias; without `relu` those of batch norm alone."""
    walk = _Backward.of(dy, x, saved, weight, bias, relu) if training else None
    if walk is None:
        return None
    dweight, dbias = walk.sums()
    dx = walk.apply(dweight, dbias, walk.count)
    return dx, dweight.astype(x.dtype), dbias.astype(x.dtype)


@backward_sums_core.faster("cpu")
def backward_sums(
    dy: np.ndarray, x: np.ndarray, saved: BatchNormSaved
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the gradients by weight and bias, (C,) in float64."""
    walk = _Backward.of(dy, x, saved, None, None, False)
    return None if walk is None else walk.sums()


@backward_apply_core.faster("cpu")
def backward_apply(
    dy: np.ndarray,
    x: np.ndarray,
    saved: BatchNormSaved,
    weight: np.ndarray | None,
    dweight: np.ndarray,
    dbias: np.ndarray,
    count: int,
    training: bool,
) -> np.ndarray | None:
    """Return the gradient by x, given the sums over `count` values of a channel."""
    walk = _Backward.of(dy, x, saved, weight, None, False) if training else None
    return None if walk is None else walk.apply(dweight, dbias, count)


@dataclass(frozen=True, slots=True)
class _Backward:
    """The two walks of the backward pass over one pair of arrays."""

    x: np.ndarray
    saved: BatchNormSaved
    count: int
    walks: Any
    error: np.ndarray
    scale: np.ndarray
    sign: list[np.ndarray]
    pairs: list[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(
        cls,
        dy: np.ndarray,
        x: np.ndarray,
        saved: BatchNormSaved,
        weight: np.ndarray | None,
        bias: np.ndarray | None,
        relu: bool,
    ) -> _Backward | None:
        """Return the walks, or None if these arrays are left to the reference."""
        pixels = as_pixels(x)
        above = None if pixels is None or dy.dtype != x.dtype else as_pixels(dy, copy=True)
        if pixels is None or above is None:
            return None
        walks = walks_for(x.dtype)
        shift, error = _shift(saved, x.dtype)
        scale, offset = _scale_and_offset(saved, weight, bias, error)
        passes = (scale, offset) if relu else (np.zeros_like(shift), np.ones_like(shift))
        sign = _rows((shift, *passes), walks.WIDTH, x.dtype)
        pairs = list(zip(_parts(above), _parts(pixels), strict=True))
        return cls(x, saved, len(pixels), walks, error, scale, sign, pairs)

    def sums(self) -> tuple[np.ndarray, np.ndarray]:
        """Walk over dy and x: the gradients by weight and bias, float64."""

        def add_up(parts: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
            totals = np.zeros((2, self.sign[0].size))
            self.walks.gradient_sums(*parts, *self.sign, totals[0], totals[1])
            return totals

        dbias, products = _add_parts(map_ordered(add_up, self.pairs), self.x.shape[1])
        return (products - self.error * dbias) * self.saved.inv_std, dbias

    def apply(self, dweight: np.ndarray, dbias: np.ndarray, count: int) -> np.ndarray:
        """Walk over dy and x again and write dx."""
        # dx = scale (dy + slope (x - shift) + constant)
        slope = -self.saved.inv_std * dweight / count
        constant = -slope * self.error - dbias / count
        line = _rows((self.scale, slope, constant), self.walks.WIDTH, self.x.dtype)
        dx = empty((self.count, self.x.shape[1]), self.x.dtype)
        past = self.walks.streamed(dx)

        def write(parts: tuple[tuple[np.ndarray, np.ndarray], np.ndarray]) -> None:
            self.walks.gradient(*parts[0], *self.sign, *line, parts[1], past)

        map_ordered(write, list(zip(self.pairs, _parts(dx), strict=True)))
        return as_images(dx, self.x)


# ---------------------------------------------------------------------------------------------
# How the arrays are seen


def as_pixels(x: np.ndarray, copy: bool = False) -> np.ndarray | None:
    """View `x` as (pixels, C); return None if it is small, or (unless `copy`) lies otherwise."""
    if type(x) is not np.ndarray or x.dtype not in (np.float32, np.float64) or x.size < SMALL:
        return None
    last = x.transpose(0, 2, 3, 1) if x.ndim == 4 else x
    if not last.flags.c_contiguous:
        if not copy:
            return None
        last = np.ascontiguousarray(last)
    return last.reshape(-1, x.shape[1])


def walks_for(dtype: Any) -> Any:
    """Return the module whose functions walk over arrays of `dtype`."""
    if dtype == np.float32 and compiled():
        from minideconv.engine.cpu.compiled import batch_norm as walks

        return walks
    return batch_norm_blocks


def _scale_and_offset(
    saved: BatchNormSaved, weight: np.ndarray | None, bias: np.ndarray | None, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return a and b of ``y = a (x - shift) + b``; `error` is ``mean - shift``."""
    scale = saved.inv_std if weight is None else saved.inv_std * weight
    return scale, -error * scale if bias is None else bias - error * scale


def _shift(saved: BatchNormSaved, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean in the precision of x, and what is missing in it."""
    shift = saved.mean.astype(dtype)
    return shift, saved.mean - shift


def _rows(numbers: Sequence[np.ndarray], width: int, dtype: Any) -> list[np.ndarray]:
    """Repeat each (C,) until it fills a row of `width` numbers or more, a multiple of 16."""
    channels = numbers[0].size
    period = channels * 16 // gcd(channels, 16)
    repeats = -(-width // period) * period // channels
    rows = np.empty((len(numbers), repeats, channels), dtype)
    rows[...] = np.array(numbers, dtype)[:, None]
    return list(rows.reshape(len(numbers), -1))


def _parts(pixels: np.ndarray) -> list[np.ndarray]:
    """Cut (pixels, C) into flat parts of about `PART` numbers, 16 pixels or a multiple of that.

    Their channels are then where the repeated rows have them, and they begin with a cache line.
    """
    count, channels = pixels.shape
    flat = pixels.reshape(-1)
    number = round(flat.size / PART)
    if number < 2:
        return [flat]
    ends = [count * i // (16 * number) * 16 * channels for i in range(number)] + [flat.size]
    return [flat[start:stop] for start, stop in pairwise(ends)]


def _add_parts(totals: list[np.ndarray], channels: int) -> np.ndarray:
    """Add up the parts' totals (2, width) and what belongs to the same channel: (2, C)."""
    return sum(totals[1:], totals[0]).reshape(2, -1, channels).sum(axis=1)
