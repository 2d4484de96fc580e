"""Make a failing case as small as it can be while it still fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from minideconv.testing.operations.operation import Case, Operation

__all__ = ["shrink"]

Fails = Callable[[Case], bool]
SIMPLE = (0.0, 1.0, -1.0, 2.0, -2.0)
"""Numbers from the simplest to the least simple."""


def shrink(operation: Operation, case: Case, fails: Fails, *, seconds: float = 1.5) -> Case:
    """Return the smallest case found that still fails: geometry first, then the numbers.

    Greedy: a change that keeps the failure is kept, until none does or the time is over. Settings
    are made simple before sizes are, and of the numbers as many as possible are made 0, the rest 1.
    """
    end = time.monotonic() + seconds
    case = _descend(case, operation.smaller, fails, end)
    case = _descend(case, simpler_numbers, fails, end)
    # The numbers that are left may now stand where a smaller size cuts nothing off.
    return _descend(case, operation.smaller, fails, end)


def _descend(
    case: Case, options: Callable[[Case], Iterator[Case]], fails: Fails, end: float
) -> Case:
    moved = True
    while moved:
        moved = False
        for smaller in options(case):
            if time.monotonic() > end:
                return case
            if fails(smaller):
                case, moved = smaller, True
                break
    return case


def simpler_numbers(case: Case) -> Iterator[Case]:
    """Yield the case with many numbers made 0, then one made 0, or else a small integer."""
    yield from _many_zeros(case)
    for role, array in case.arrays.items():
        if array is None or array.dtype.kind != "f":
            continue
        for rank, value in enumerate(SIMPLE):
            for place in range(array.size - 1, -1, -1):
                if array.flat[place] in SIMPLE[: rank + 1]:
                    continue
                changed = array.copy()
                changed.flat[place] = value
                yield replace(case, arrays={**case.arrays, role: changed})


def _many_zeros(case: Case) -> Iterator[Case]:
    """Yield the case with all numbers of an array made 0, then halves, then quarters of them."""
    for role, array in case.arrays.items():
        if array is None or array.dtype.kind != "f":
            continue
        places = np.flatnonzero(array)
        for parts in (1, 2, 4):
            if len(places) < 2 * parts:
                break
            for part in np.array_split(places, parts):
                changed = array.copy()
                changed.flat[part] = 0
                yield replace(case, arrays={**case.arrays, role: changed})


def largest_axis(case: Case) -> int:
    """Return the greatest extent of any of the arrays along any axis."""
    return max(int(np.max(a.shape, initial=1)) for a in case.arrays.values() if a is not None)
