"""A choice of items: the part of one of several processes, some spread over all, a `Subset`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["Subset", "shard_of", "spread"]


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


class Subset:
    """Some items of a data set, by their `indices` there; its other attributes are passed through.

    `dataset` is one with instance masks, such as `Shapes` and `VOCSegmentation`.
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is outside this subset of {len(self)} images")
        return self.dataset[self.indices[index]]

    def __repr__(self) -> str:
        return f"{len(self)} images of {self.dataset!r}"

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def instances(self, index: int) -> Any:
        """Return item `index`'s instance mask."""
        return self.dataset.instances(self.indices[index])

    def name(self, index: int) -> str:
        """Return what messages call item `index`."""
        return self.dataset.name(self.indices[index])
