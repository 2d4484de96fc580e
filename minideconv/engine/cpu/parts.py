"""How work is cut for the worker threads."""

from __future__ import annotations

from itertools import pairwise

__all__ = ["ranges", "slices"]


def ranges(size: int, parts: int, step: int = 1) -> list[tuple[int, int]]:
    """Cut 0 ... size, at multiples of `step`, into (first, last) of about equal lengths.

    There are `parts` of them, or as many as there are steps.
    """
    steps = -(-size // step)
    parts = max(1, min(parts, steps))
    return list(pairwise(min(steps * i // parts * step, size) for i in range(parts + 1)))


def slices(size: int, parts: int) -> list[slice]:
    """Return the same as slices."""
    return [slice(*pair) for pair in ranges(size, parts)]
