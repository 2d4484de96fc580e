"""Which part of some items belongs to which of several processes: `part_of`."""

from __future__ import annotations

__all__ = ["part_of"]


def part_of(items: range, rank: int, size: int) -> range:
    """Return the part of `items` that process `rank` of `size` takes: neighbours, in order.

    The parts of all processes are all items, each once, and differ by one item at most. Where there
    are fewer items than processes, some parts are empty.

    Raises
    ------
    ValueError
        Unless ``0 <= rank < size``.

    >>> [list(part_of(range(10, 17), rank, 4)) for rank in range(4)]
    [[10], [11, 12], [13, 14], [15, 16]]
    """
    if not 0 <= rank < size:
        raise ValueError(f"part_of: rank is {rank}; with {size} processes it must be 0..{size - 1}")
    return items[len(items) * rank // size : len(items) * (rank + 1) // size]
