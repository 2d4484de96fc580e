"""Channels last: how the engine keeps images and weights in memory, whatever their shape says.

An image batch of shape (N, C, H, W) lies in memory as (N, H, W, C): the values of one pixel are
neighbours. Sums over channels and products with a weight matrix then run along memory, and the
windows of a convolution are runs of whole pixels. A weight of shape (K, C, kh, kw) lies as
(kh, kw, C, K): one matrix (C, K) for each entry of the kernel. Both are views: no shape changes,
and an array in another order is accepted everywhere, at the price of a copy.
"""

from __future__ import annotations

import numpy as np

__all__ = ["from_channels_last", "taps_first", "to_channels_last", "with_taps_first"]


def to_channels_last(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) in any order -> (N, H, W, C), contiguous; a view if `x` is channels last."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def from_channels_last(x: np.ndarray) -> np.ndarray:
    """(N, H, W, C) -> the view (N, C, H, W)."""
    return x.transpose(0, 3, 1, 2)


def taps_first(weight: np.ndarray) -> np.ndarray:
    """(K, C, kh, kw) in any order -> (kh, kw, C, K), contiguous; a view if it lies that way."""
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))


def with_taps_first(weight: np.ndarray) -> np.ndarray:
    """Return `weight` (K, C, kh, kw) with the same values and shape, lying as (kh, kw, C, K)."""
    return taps_first(weight).transpose(3, 2, 0, 1)
