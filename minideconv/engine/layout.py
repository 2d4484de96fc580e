"""Channels last: how the engine keeps images and weights in memory, whatever their shape.

An image batch of shape (N, C, H, W) is stored as (N, H, W, C): the values of one pixel are
neighbours. Sums over channels and products with a weight matrix then run along memory, and the
windows of a convolution are runs of whole pixels. A weight of shape (K, C, kh, kw) is stored as
(kh, kw, C, K): one matrix (C, K) for each entry of the kernel. Both are views: no shape changes,
and an array in another order is accepted everywhere, at the price of a copy.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from minideconv.backend import get_xp
from minideconv.backend.dispatch import device_guard

__all__ = [
    "TAPS_FIRST",
    "as_images",
    "assign",
    "contiguous",
    "empty_weight",
    "from_channels_last",
    "is_taps_first",
    "taps_first",
    "to_channels_last",
    "weights_within",
    "with_taps_first",
]

TAPS_FIRST = (2, 3, 1, 0)
"""The axes of a weight (K, C, kh, kw) in the order in which it is stored."""

_left: ContextVar[list[int] | None] = ContextVar("numbers that weights may have", default=None)

_BLOCK = (256, 8)  # output and input channels: with their taps they stay in the cache


def contiguous(numbers: Any, dtype: Any = None) -> Any:
    """Return an array, such as a bias, with its numbers side by side, as kernels read them.

    It is converted to `dtype` if one is given; a view if it is stored that way; None for None.
    """
    return None if numbers is None else get_xp(numbers).ascontiguousarray(numbers, dtype)


def to_channels_last(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) in any order -> (N, H, W, C), contiguous; a view if `x` is channels last."""
    return get_xp(x).ascontiguousarray(x.transpose(0, 2, 3, 1))


def from_channels_last(x: np.ndarray) -> np.ndarray:
    """(N, H, W, C) -> the view (N, C, H, W)."""
    return x.transpose(0, 3, 1, 2)


def as_images(pixels: np.ndarray, like: np.ndarray) -> np.ndarray:
    """View (pixels, C), channels last, in the shape of `like`, (N, C, H, W) or (N, C)."""
    if like.ndim == 2:
        return pixels
    n, c, h, w = like.shape
    return from_channels_last(pixels.reshape(n, h, w, c))


def taps_first(weight: np.ndarray) -> np.ndarray:
    """(K, C, kh, kw) in any order -> (kh, kw, C, K), contiguous; a view if that is its layout."""
    return get_xp(weight).ascontiguousarray(weight.transpose(TAPS_FIRST))


def is_taps_first(weight: np.ndarray) -> bool:
    """Return whether a weight (K, C, kh, kw) is stored as (kh, kw, C, K)."""
    return weight.transpose(TAPS_FIRST).flags.c_contiguous


def with_taps_first(weight: np.ndarray) -> np.ndarray:
    """Return `weight` (K, C, kh, kw) with the same values and shape, stored as (kh, kw, C, K)."""
    return taps_first(weight).transpose(3, 2, 0, 1)


def empty_weight(shape: tuple[int, int, int, int], dtype: Any = np.float32) -> np.ndarray:
    """Return an uninitialised weight (K, C, kh, kw) that is stored as (kh, kw, C, K).

    Raises
    ------
    ValueError
        In `weights_within`, if it is one too many.
    """
    k, c, kh, kw = shape
    if (left := _left.get()) is not None:
        left[0] -= math.prod(shape)
        if left[0] < 0:
            raise ValueError(f"a weight of shape {shape} is more than all numbers that there are")
    return np.empty((kh, kw, c, k), dtype).transpose(3, 2, 0, 1)


@contextlib.contextmanager
def weights_within(numbers: int) -> Iterator[None]:
    """Let `empty_weight` make no more than so many numbers in the block.

    For a network that a file describes: one that needs more numbers than the file holds is not of
    that file, and is refused before there is memory for it.
    """
    token = _left.set([numbers])
    try:
        yield
    finally:
        _left.reset(token)


@device_guard
def assign(target: Any, source: Any) -> None:
    """``target[...] = source``, in blocks where one is a weight in another order than the other.

    Copying numbers that are neighbours in one array and far apart in the other costs a cache line
    each, unless they come from a block that stays in the cache: six times as fast for fc6.
    """
    both = isinstance(target, np.ndarray) and isinstance(source, np.ndarray)
    if not both or target.ndim != 4 or target.strides == source.strides:
        target[...] = source
        return
    rows, columns = _BLOCK
    for k in range(0, len(target), rows):
        for c in range(0, target.shape[1], columns):
            block = (slice(k, k + rows), slice(c, c + columns))
            target[block] = source[block]
