"""Cutting a rectangle out of images, zeros where they have no pixels."""

from __future__ import annotations

import numpy as np

from minideconv.engine.cpu.memory import workspace
from minideconv.ops.geometry import Pair

__all__ = ["crop"]


def crop(x: np.ndarray, first: Pair, size: Pair) -> np.ndarray:
    """Return the pixels of (N, H, W, C) from `first` on, (N, *size, C).

    A view where all are inside; else a copy in this thread's workspace, with the zeros around.
    """
    top, left = first
    inside = x[:, max(top, 0) : max(top + size[0], 0), max(left, 0) : max(left + size[1], 0)]
    if inside.shape[1:3] == size:
        return inside
    padded = workspace("padded", (len(x), *size, x.shape[3]), x.dtype)
    above, before = max(-top, 0), max(-left, 0)
    below, behind = above + inside.shape[1], before + inside.shape[2]
    padded[:, :above] = 0
    padded[:, below:] = 0
    padded[:, above:below, :before] = 0
    padded[:, above:below, behind:] = 0
    padded[:, above:below, before:behind] = inside
    return padded
