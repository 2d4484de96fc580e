"""A choice of items: the part of one of several processes, or some spread over all of them."""

from __future__ import annotations

__all__ = ["shard_of", "spread"]


def shard_of(items: range, rank: int, size: int) -> range:
    """Return the part of `items` that process `rank` of `size` takes: neighbours, in order.

    The parts of all processes are all items, each once, and differ by one item at most. Where there
    are fewer items than processes, some parts are empty.

    Raises
    ------
    ValueError
        Unless ``0 <= rank < size``.

    >>> [list(shard_of(range(10, 17), rank, 4)) for rank in range(4)]
    [[10], [11, 12], [13, 14], [15, 16]]
    """
    if not 0 <= rank < size:
        raise ValueError(
            f"shard_of: rank is {rank}; with {size} processes it must be 0..{size - 1}"
        )
    return items[len(items) * rank // size : len(items) * (rank + 1) // size]


def spread(length: int, count: int) -> list[int]:
    """Return `count` indices spread evenly over ``0..length-1`` (all of them if there are fewer).

    >>> spread(10, 3)
    [0, 4, 9]
    """
    if count >= length:
        return list(range(length))
    return [round(i * (length - 1) / max(1, count - 1)) for i in range(count)]
