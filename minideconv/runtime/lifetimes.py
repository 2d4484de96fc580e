"""Which arrays can share memory: `arrange`.

An array of a plan is needed from the step that writes it to the last step that reads it. Two arrays
that are never needed at once may have the same place. To find places that need the least memory in
all is a packing problem; taking the largest first, each to the lowest place that is free during its
life, is simple and close.

Source: Pisarchyk, Lee, "Efficient memory management for deep neural net inference" (2020), section
5, "greedy by size for offset calculation".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Life", "arrange"]

_LINE = 64  # bytes of a cache line
_APART = 5 * _LINE  # arrays side by side begin at different places of a page, as the caches want


class Life(NamedTuple):
    """An array's bytes, and the numbers of the first and the last step that need it."""

    nbytes: int
    first: int
    last: int


def arrange(lives: Sequence[Life]) -> tuple[list[int], int]:
    """Return the place of each array in one block of memory, in bytes, and the block's size.

    Arrays that are needed at the same step do not overlap. Places are multiples of a cache line.

    Examples
    --------
    >>> arrange([Life(640, 0, 1), Life(640, 1, 2), Life(640, 2, 3)])
    ([0, 960, 0], 1920)
    """
    places = [0] * len(lives)
    placed: list[tuple[int, int, Life]] = []  # begin, end
    for number in sorted(range(len(lives)), key=lambda i: -lives[i].nbytes):
        life = lives[number]
        size = -(-life.nbytes // _LINE) * _LINE + _APART
        begin = 0
        for low, high, other in sorted(placed):
            at_once = life.first <= other.last and other.first <= life.last
            if at_once and low < begin + size and begin < high:
                begin = high
        places[number] = begin
        placed.append((begin, begin + size, life))
    return places, max((end for _, end, _ in placed), default=0)
