"""`Photographs` and `WithoutMasks`: images alone, for what is learned without labels.

Both have the form of a labelled data set, (image, map), so that crops and transforms are the same;
the map is zeros. No mask is read, and none need be there.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.data.layouts import LAYOUTS, Form, locate
from minideconv.data.listed_images import ListedImages
from minideconv.data.lists import IMAGE_SUFFIXES, Entry, ListedFiles
from minideconv.data.pictures import read_image
from minideconv.data.segmentation_folder import entries_of
from minideconv.data.voc import find_voc
from minideconv.errors import DataError

__all__ = ["Photographs", "WithoutMasks"]

EVERY = "photographs"
_TENTH = 10
# VOC's layout, of which the masks need not be there.
PHOTOGRAPHS = dataclasses.replace(LAYOUTS["voc"], forms=(Form("JPEGImages", "JPEGImages"),))


class Photographs(ListedImages):
    """The photographs of a folder in VOCdevkit's layout, of which JPEGImages alone is needed.

    Parameters
    ----------
    root : VOC2012 itself, VOCdevkit, or the folder around it; or a folder in another layout.
    split : name of a list in ImageSets/Segmentation, or "photographs": every one in JPEGImages,
        with a mask or without, that is not in the list `held_out`.
    held_out : name of a list whose photographs are for validation.
    cache_mb : decoded files are kept in memory, up to so many MiB.
    layout : a name among `LAYOUTS`. Of layouts other than VOC's, photographs with masks are taken.

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
        self,
        root: str | Path,
        split: str,
        held_out: str = "val",
        cache_mb: float = 512,
        layout: str = "voc",
    ) -> None:
        self.split, self._title = split, LAYOUTS[layout].title
        self.classes: list[str] = []
        self._left_out = self.remark = ""
        if layout == "voc":
            self.root = find_voc(root, ("JPEGImages",))
            entries = self._of_voc(split, held_out)
        else:
            located = locate(Path(root), split, LAYOUTS[layout])
            self.root = located.root
            entries, self._left_out = entries_of(located, split, self._title)
        self._keep(entries, cache_mb)

    def _of_voc(self, split: str, held_out: str) -> list[Entry]:
        images = ListedFiles(self.root / "JPEGImages", IMAGE_SUFFIXES)
        lists = self.root / "ImageSets" / "Segmentation"
        every = images.names()

        def listed(name: str) -> list[Entry]:
            located = locate(self.root, name, PHOTOGRAPHS)
            return entries_of(located, name, self._title)[0]

        if lists.is_dir() and (split != EVERY or (lists / f"{EVERY}.txt").exists()):
            return listed(split)
        if lists.is_dir():
            names = sorted(set(every) - {entry.id for entry in listed(held_out)})
        else:
            tenth = every[::_TENTH]
            names = tenth if split == held_out else sorted(set(every) - set(tenth))
            self._left_out = (
                f"note: {self.root} has no image lists, so every tenth photograph is for validation"
            )
        if not names:
            raise DataError(f"VOC: {images.folder} holds too few photographs (*.jpg)")
        return [Entry(name, images.path(name)) for name in names]

    @property
    def note(self) -> str:
        """What is legal but seldom meant; `remark` is the part that a check of the files sets."""
        return "\n".join(text for text in (self._left_out, self.remark) if text)

    def mask_path(self, index: int) -> None:
        """Return None: there are no masks."""

    reading = "photographs alone"
    """All that decides how the files are understood."""

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        try:
            image = read_image(self.image_path(index))
        except DataError as error:
            raise DataError(f"{self._title}: {error}") from error
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
