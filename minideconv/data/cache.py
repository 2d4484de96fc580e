"""A bounded memory of things that are expensive to make, such as decoded images."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

__all__ = ["Arrays", "ItemCache"]

Arrays = TypeVar("Arrays", bound=tuple[np.ndarray, ...])


class ItemCache(Generic[Arrays]):
    """Keeps tuples of arrays until `megabytes` (MiB) are used; later ones are made anew each time.

    Nothing is ever thrown out: in training, every item comes once an epoch in random order, where
    throwing out the least recently used item would lose each one just before it is needed again.
    Arrays are made read-only, since all users share them. Safe to use from several threads. A copy,
    or what another process gets by pickling, has the same room and is empty.
    """

    def __init__(self, megabytes: float) -> None:
        self._megabytes = megabytes
        self._room = int(megabytes * 2**20)
        self._items: dict[int, Arrays] = {}
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[ItemCache[Arrays]], tuple[float]]:
        return type(self), (self._megabytes,)

    def __contains__(self, key: int) -> bool:
        return key in self._items

    def get(self, key: int, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of `key`, from memory or from `make()`."""
        found = self._items.get(key)
        return self.put(key, make()) if found is None else found

    def put(self, key: int, arrays: Arrays) -> Arrays:
        """Keep the arrays as those of `key`, if there is room; return them, now read-only."""
        for array in arrays:
            array.setflags(write=False)
        cost = sum(array.nbytes for array in arrays)
        with self._lock:
            if key not in self._items and cost <= self._room:
                self._items[key] = arrays
                self._room -= cost
        return arrays

    def take_all(self) -> dict[int, Arrays]:
        """Return all that is kept, and keep it no longer."""
        with self._lock:
            taken, self._items = self._items, {}
            self._room = int(self._megabytes * 2**20)
        return taken
