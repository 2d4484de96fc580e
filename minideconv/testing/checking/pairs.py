"""Two mistakes in one function: what they give together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from minideconv.testing.checking.probing import Values
from minideconv.testing.mistakes import Mistake
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["pairs_of"]


@cache
def pairs_of(bank: tuple[Mistake, ...]) -> tuple[Array, Array, list[Values]]:
    """Return two lists of numbers of ways to make mistakes, and what each two do together."""
    found = list(paired(bank))
    first, second = (np.array([pair[k] for pair in found], int) for k in (0, 1))
    return first, second, [values for _, _, values in found]


def paired(bank: Sequence[Mistake]) -> Iterator[tuple[int, int, Values]]:
    """Yield two mistakes and what they do together: one in the arguments or with the result.

    What is made with a result is made with that of the other mistake. Of two in the arguments the
    second one's are given to the first one: where that has values of its own, only so.
    """
    for i, first in enumerate(bank):
        for j, second in enumerate(bank):
            if first.name == second.name:
                continue
            if first.after is not None:
                if second.after is not None or second.change is None or second.loose:
                    yield i, j, _turned(first, second)
                elif second.change is not None:
                    yield i, j, _changed(first, second)
            elif second.change is not None and (first.change is None or first.loose or i < j):
                yield i, j, _changed(first, second)


def _changed(mistake: Mistake, slip: Mistake) -> Values:
    def values(arrays: Arrays, settings: Settings) -> Array:
        assert slip.change is not None
        return mistake.values(*slip.change(arrays, settings))

    return values


def _turned(twist: Mistake, mistake: Mistake) -> Values:
    def values(arrays: Arrays, settings: Settings) -> Array:
        assert twist.after is not None
        return twist.after(mistake.values(arrays, settings), arrays, settings)

    return values
