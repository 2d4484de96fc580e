"""`VOCSegmentation`: the segmentation task of a folder in VOCdevkit's layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minideconv.data import voc_files
from minideconv.data.cache import ItemCache
from minideconv.data.components import connected_components
from minideconv.data.voc_colors import VOC_CLASSES
from minideconv.errors import DataError
from minideconv.files.inside import inside, refuse_outside

__all__ = ["VOCSegmentation", "find_voc", "image_list"]

_FOLDERS = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
_PLACES = ("", "VOC2012", "VOCdevkit/VOC2012", "VOC2007", "VOCdevkit/VOC2007")


def find_voc(root: str | Path, folders: Sequence[str] = _FOLDERS) -> Path:
    """Find the folder that holds JPEGImages, SegmentationClass and ImageSets/Segmentation.

    Parameters
    ----------
    root : str or Path
        That folder itself (VOC2012), VOCdevkit around it, or the folder around VOCdevkit.
    folders : sequence of str
        Which folders it must hold.

    Raises
    ------
    DataError
        If none of these has the folders; the message lists the places looked at.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"VOC: {root} is not a folder; it must be a VOCdevkit folder")
    places = [root / place for place in _PLACES]
    missing = {p: [folder for folder in folders if not (p / folder).is_dir()] for p in places}
    best = min(places, key=lambda place: len(missing[place]))
    if not missing[best]:
        return best
    if len(missing[best]) < len(folders):
        raise DataError(
            f"VOC: {best} has no folder {' and no '.join(missing[best])};"
            f" VOCdevkit's layout needs {', '.join(folders)}"
        )
    raise DataError(
        f"VOC: no VOCdevkit layout under {root}; looked for {', '.join(folders)}"
        f" in {root} itself and in {', '.join(_PLACES[1:])} below it"
    )


def image_list(root: Path, split: str) -> list[str]:
    """Return the ids that a list in ImageSets/Segmentation names.

    Raises
    ------
    DataError
        If there is no such list, or it cannot be read or is empty; the message names those that
        there are.
    """
    lists = root / "ImageSets" / "Segmentation"
    path = inside(lists, split, ".txt")
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in lists.glob("*.txt"))) or "none"
        raise DataError(f"VOC: no split {split!r} ({path} is missing); the splits are: {there}")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"VOC: {path} cannot be read as text: {error}") from error
    ids = [line.split()[0] for line in lines if line.strip()]
    if not ids:
        raise DataError(f"VOC: {path} lists no image")
    for name in ids:
        refuse_outside(name, f"VOC: {path}")
    return ids


class VOCSegmentation:
    """Photographs and class masks of PASCAL VOC, or of any set laid out and labelled like it.

    Parameters
    ----------
    root : VOC2012 itself, VOCdevkit, or the folder around it (see `find_voc`).
    split : name of a list in ImageSets/Segmentation: "train", "val", "trainval", ...
    cache_mb : decoded files are kept in memory, up to so many MiB; 0 decodes at each access.

    Notes
    -----
    Masks are palette PNGs whose *index* is the class, 0 background, 1..20 the classes of
    `VOC_CLASSES`, 255 void. Greyscale PNGs of the same indices are read as well. Photographs are
    turned upright as EXIF has it (`pictures`), and a mask is of the upright photograph. A file that
    is missing, broken, of another size than its partner or labelled otherwise is a `DataError` that
    names it, when it is read; `validate()` reads them all. `check_objects()` is about whether the
    masks show objects at all.
    """

    def __init__(self, root: str | Path, split: str = "train", cache_mb: float = 512) -> None:
        self.root = find_voc(root)
        self.split = split
        self.classes = list(VOC_CLASSES)
        self.num_classes = len(self.classes)  # 21, with the background
        self.ids = image_list(self.root, split)
        self.note = ""
        self._cache: ItemCache[tuple[np.ndarray, np.ndarray]] = ItemCache(cache_mb)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"VOCSegmentation({str(self.root)!r}, {self.split!r}, {len(self)} images)"

    def name(self, index: int) -> str:
        """Return the image's id, e.g. 2007_000032."""
        return self.ids[index]

    def image_path(self, index: int) -> Path:
        """Return the path of item `index`'s photograph."""
        return self.root / "JPEGImages" / f"{self.ids[index]}.jpg"

    def mask_path(self, index: int) -> Path:
        """Return the path of item `index`'s class mask."""
        return self.root / "SegmentationClass" / f"{self.ids[index]}.png"

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) uint8 RGB and mask (H, W) uint8 of class indices, 255 void; read-only."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"VOC: index {index} is outside this split of {len(self)} images")
        index = int(index) % len(self)
        return self._cache.get(index, lambda: self._read(index))

    def mask(self, index: int) -> np.ndarray:
        """Read the class mask alone: much faster than the pair, for counting classes."""
        return voc_files.read_mask(self.mask_path(index))

    def instances(self, index: int) -> np.ndarray:
        """Return (H, W) uint8: 0 background, 1, 2, ... the objects, 255 void.

        Read from SegmentationObject where it is there, else the connected regions of the mask.
        """
        path = self.root / "SegmentationObject" / f"{self.ids[index]}.png"
        mask = self[index][1]
        if not path.is_file():
            return connected_components(mask)
        instances = voc_files.read_indices(path)
        voc_files.refuse_other_size(path, instances.shape, self.mask_path(index), mask.shape)
        return instances

    def check_objects(self, count: int = 0) -> None:
        """Refuse a list, or its first `count` items, in whose masks no object is drawn.

        Reads some of the masks, all of them only before it refuses; see `voc_files.check_objects`.
        What is legal but seldom meant is put into `note`.

        Raises
        ------
        DataError
            If no mask shows a class beside the background.
        """
        paths = [self.mask_path(index) for index in range(min(count or len(self), len(self)))]
        self.note = voc_files.check_objects(paths, f"split {self.split!r}")

    def validate(self) -> list[str]:
        """Read every pair of the split; return one sentence for each file that is bad."""
        problems = []
        for index in range(len(self)):
            try:
                self._read(index)
            except DataError as error:
                problems.append(str(error))
        for name, count in Counter(self.ids).items():
            if count > 1:
                problems.append(f"VOC: the list of split {self.split!r} names {name} twice")
        if not problems:
            try:
                self.check_objects()
            except DataError as error:
                problems.append(str(error))
        return problems

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return voc_files.read_pair(self.image_path(index), self.mask_path(index))
