"""`ListedImages`: what data sets of images in files have in common: ids, paths, a cache."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minideconv.data.cache import ItemCache
from minideconv.data.lists import Entry

__all__ = ["ListedImages"]


class ListedImages(ABC):
    """Pairs (image, map of classes) of the files of a split, decoded when they are asked for.

    A subclass sets `root`, `split` and `_title` (how its messages begin), calls `_keep`, and reads
    a pair in `_read`.
    """

    root: Path
    split: str
    _title: str

    def _keep(self, entries: Sequence[Entry], cache_mb: float) -> None:
        """Take the files over; decoded ones are kept in memory, up to `cache_mb` MiB."""
        self._entries = list(entries)
        self.ids = [entry.id for entry in self._entries]
        self._cache: ItemCache[tuple[np.ndarray, np.ndarray]] = ItemCache(cache_mb)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"{kind}({str(self.root)!r}, {self.split!r}, {len(self)} images)"

    def name(self, index: int) -> str:
        """Return the image's id, e.g. 2007_000032; of one in a folder below, without separators."""
        return self.ids[index].replace("/", "_")

    def image_path(self, index: int) -> Path:
        """Return the path of item `index`'s photograph."""
        return self._entries[index].image

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) uint8 RGB and map (H, W) uint8 of class indices, 255 void; read-only."""
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"{self._title}: index {index} is outside this split of {len(self)} images"
            )
        index = int(index) % len(self)
        return self._cache.get(index, lambda: self._read(index))

    @abstractmethod
    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Decode item `index` (0 to len - 1)."""
