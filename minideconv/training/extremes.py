"""Which images of a set are the worst and the best."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["extremes"]


def extremes(
    qualities: Mapping[int, float], images: int, most: int = 4
) -> tuple[list[int], list[int]]:
    """Return the numbers of the worst and of the best images, those at the ends first.

    Parameters
    ----------
    qualities : mapping of int to float
        Of each image, the higher the better.
    images : int
        How many a run draws: of each kind no more than that, and than `most`.

    >>> extremes({3: 0.5, 5: 0.1, 7: 0.9, 8: 0.4}, images=6)
    ([5, 8], [7, 3])
    """
    order = sorted(qualities, key=lambda number: (qualities[number], number))
    count = min(images, most, len(order) // 2)
    return order[:count], order[::-1][:count]
