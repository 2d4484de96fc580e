"""Arrays from users' order to the engine's, on this processor: `engine.layout`, often faster.

What is in the engine's order already, as the results of the layers before are, is only looked at.
"""

from __future__ import annotations

import numpy as np

from minideconv.backend.algorithms import compiled
from minideconv.engine.layout import TAPS_FIRST, assign

__all__ = ["taps_first", "to_channels_last"]

_SMALL = 1 << 11  # numbers that NumPy has copied before it is clear who could do it faster


def to_channels_last(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) in any order -> (N, H, W, C), contiguous; a view if `x` is channels last."""
    y = x.transpose(0, 2, 3, 1)
    if y.flags.c_contiguous:
        return y
    if x.size > _SMALL and compiled():
        from minideconv.engine.cpu.compiled import reorder

        if reorder.fits(x, x.shape[1]):
            return reorder.to_channels_last(x)
    return np.ascontiguousarray(y)


def taps_first(weight: np.ndarray) -> np.ndarray:
    """(K, C, kh, kw) in any order -> (kh, kw, C, K), contiguous; a view if that is its layout."""
    w = weight.transpose(TAPS_FIRST)
    if w.flags.c_contiguous:
        return w
    if weight.size <= _SMALL:
        return np.ascontiguousarray(w)
    if compiled():
        from minideconv.engine.cpu.compiled import reorder

        if reorder.fits(weight, len(weight)):
            return reorder.to_taps_first(weight)
    made = np.empty(w.shape, w.dtype)
    assign(made.transpose(3, 2, 0, 1), weight)
    return made
