"""Proposals without looking at the image: squares of several sizes, laid evenly over it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.segmentation.proposals.boxes import Proposals, check_numbers
from minideconv.segmentation.proposals.window_grid import grid

__all__ = ["sliding_windows"]


def sliding_windows(
    height: int,
    width: int,
    count: int | None = None,
    *,
    overlap: float = 0.5,
    smallest: float = 0.2,
) -> Proposals:
    """Lay squares of several sizes over an image, the largest first: proposals without looking.

    The largest is as wide as the shorter side, each next one sqrt(2) times narrower.

    Parameters
    ----------
    height, width : int
        Of the image, in pixels.
    count : int, optional
        Boxes at most. Of the last size that has room, an even choice is taken.
    overlap : float in [0, 1)
        Share of its side that a window has in common with the next.
    smallest : float in (0, 1]
        Side of the smallest as a share of the image's shorter side.

    Returns
    -------
    Proposals
        The score is the share of the image that the window covers.

    Raises
    ------
    UsageError (a ValueError)
        If a parameter is not legal.

    Examples
    --------
    >>> sliding_windows(40, 60, 3).boxes
    array([[ 0,  0, 39, 39],
           [20,  0, 59, 39],
           [ 0,  0, 27, 27]], dtype=int32)
    """
    check_numbers(
        "sliding_windows",
        ("height", height, height >= 1, "at least 1"),
        ("width", width, width >= 1, "at least 1"),
        ("count", count, count is None or count >= 1, "at least 1"),
        ("overlap", overlap, 0 <= overlap < 1, "in [0, 1)"),
        ("smallest", smallest, 0 < smallest <= 1, "greater than 0 and at most 1"),
    )
    longest = min(height, width)
    found: list[npt.NDArray[Any]] = []
    side, left = float(longest), math.inf if count is None else count
    while left > 0 and round(side) >= max(1, smallest * longest - 1e-9):
        size = round(side)
        step = max(1.0, size * (1 - overlap))
        boxes = grid(height, width, size, size, step, step)
        if len(boxes) > left:
            boxes = boxes[np.linspace(0, len(boxes), int(left), endpoint=False).astype(int)]
        found.append(boxes)
        left -= len(boxes)
        side /= math.sqrt(2)
    every = np.concatenate(found)
    sizes = (every[:, 2:] - every[:, :2] + 1).astype(np.float64)
    return Proposals(every, sizes.prod(axis=1) / (height * width))
