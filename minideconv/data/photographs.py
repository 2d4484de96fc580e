"""`Photographs` and `WithoutMasks`: images alone, for what is learned without labels.

Both have the form of a labelled data set, (image, map), so that crops and transforms are the same;
the map is zeros. No mask is read, and none need be there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from minideconv.data.cache import ItemCache
from minideconv.data.pictures import read_image
from minideconv.data.voc import find_voc, image_list
from minideconv.errors import DataError

__all__ = ["Photographs", "WithoutMasks"]

EVERY = "photographs"
_TENTH = 10


class Photographs:
    """The photographs of a folder in VOCdevkit's layout, of which JPEGImages alone is needed.

    Parameters
    ----------
    root : VOC2012 itself, VOCdevkit, or the folder around it.
    split : name of a list in ImageSets/Segmentation, or "photographs": every one in JPEGImages,
        with a mask or without, that is not in the list `held_out`.
    held_out : name of a list whose photographs are for validation.
    cache_mb : decoded files are kept in memory, up to so many MiB.

    Notes
    -----
    In a folder without ImageSets every tenth photograph, by name, is `held_out`'s, and all others
    are those of every other split.

    Raises
    ------
    DataError
        If there is no such folder or list, or it holds no photograph.
    """

    def __init__(
        self, root: str | Path, split: str, held_out: str = "val", cache_mb: float = 512
    ) -> None:
        self.root, self.split = find_voc(root, ("JPEGImages",)), split
        self.classes: list[str] = []
        self.note = ""
        lists = self.root / "ImageSets" / "Segmentation"
        if not lists.is_dir():
            every = self._every()
            tenth = every[::_TENTH]
            self.ids = tenth if split == held_out else sorted(set(every) - set(tenth))
            self.note = (
                f"note: {self.root} has no image lists, so every tenth photograph is for validation"
            )
        elif split == EVERY and not (lists / f"{EVERY}.txt").exists():
            self.ids = sorted(set(self._every()) - set(image_list(self.root, held_out)))
        else:
            self.ids = image_list(self.root, split)
        if not self.ids:
            raise DataError(f"VOC: {self.root / 'JPEGImages'} holds too few photographs (*.jpg)")
        self._cache: ItemCache[tuple[np.ndarray, np.ndarray]] = ItemCache(cache_mb)

    def _every(self) -> list[str]:
        return sorted(path.stem for path in (self.root / "JPEGImages").glob("*.jpg"))

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Photographs({str(self.root)!r}, {self.split!r}, {len(self)} images)"

    def name(self, index: int) -> str:
        """Return the image's id, e.g. 2007_000032."""
        return self.ids[index]

    def image_path(self, index: int) -> Path:
        """Return the path of item `index`'s photograph."""
        return self.root / "JPEGImages" / f"{self.ids[index]}.jpg"

    def mask_path(self, index: int) -> None:
        """Return None: there are no masks."""

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) uint8 RGB and a map (H, W) uint8 of zeros; read-only."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"VOC: index {index} is outside this split of {len(self)} images")
        index = int(index) % len(self)
        return self._cache.get(index, lambda: self._read(index))

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        try:
            image = read_image(self.image_path(index))
        except DataError as error:
            raise DataError(f"VOC: {error}") from error
        return image, np.zeros(image.shape[:2], np.uint8)


class WithoutMasks:
    """The images of another data set, each with a map of zeros; all else is passed through."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, mask = self.dataset[index]
        return image, np.zeros_like(mask)

    def __repr__(self) -> str:
        return f"{self.dataset!r}, without masks"

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self.dataset, name)
