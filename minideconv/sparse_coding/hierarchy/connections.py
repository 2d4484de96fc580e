"""Which maps of a layer have a filter for which maps of the layer below: the table g.

The first layer's maps see every channel of the picture. In the second, a map sees one map of the
first, or a pair of them: all single ones, then all pairs, in order. From the third on there are too
many pairs; each map gets a random one, all different.

Source: Zeiler, Krishnan, Taylor, Fergus (CVPR 2010), section 4.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["connect", "most_maps"]


def most_maps(channels: int) -> int:
    """Return how many single maps and pairs there are."""
    return channels + channels * (channels - 1) // 2


def connect(
    layer: int, maps: int, channels: int, rng: np.random.Generator, dtype: Any
) -> npt.NDArray[Any]:
    """Return g of layer 1, 2, ...: (maps, channels), 0 and 1.

    Raises
    ------
    ValueError
        If there are not so many connections.
    """
    if layer == 1:
        return np.ones((maps, channels), dtype)
    if maps > most_maps(channels):
        raise ValueError(
            f"connect: {maps} maps; {channels} below make at most {most_maps(channels)} connections"
        )
    pairs = list(combinations(range(channels), 2))
    if layer == 2 or maps > len(pairs):
        chosen = [(single,) for single in range(channels)] + pairs
    else:
        chosen = [pairs[k] for k in rng.permutation(len(pairs))[:maps]]
    table = np.zeros((maps, channels), dtype)
    for row, ends in zip(table, chosen, strict=False):
        row[list(ends)] = 1
    return table
