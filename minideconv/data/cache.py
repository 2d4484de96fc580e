"""A bounded memory of things that are expensive to make, such as decoded images."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

Arrays = TypeVar("Arrays", bound=tuple[np.ndarray, ...])


class ItemCache(Generic[Arrays]):
    """Keeps tuples of arrays until `megabytes` (MiB) are used; later ones are made anew each time.

    Nothing is ever thrown out: in training, every item comes once an epoch in random order, where
    throwing out the least recently used item would lose each one just before it is needed again.
    Arrays are made read-only, since all users share them. Safe to use from several threads.
    """

    def __init__(self, megabytes: float) -> None:
        self._room = int(megabytes * 2**20)
        self._items: dict[int, Arrays] = {}
        self._lock = Lock()

    def get(self, key: int, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of `key`, from memory or from `make()`."""
        found = self._items.get(key)
        if found is not None:
            return found
        made = make()
        for array in made:
            array.setflags(write=False)
        cost = sum(array.nbytes for array in made)
        with self._lock:
            if key not in self._items and cost <= self._room:
                self._items[key] = made
                self._room -= cost
        return made
