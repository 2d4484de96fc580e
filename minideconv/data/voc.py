"""`VOCSegmentation`: the segmentation task of a folder in VOCdevkit's layout."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from minideconv.data.cache import ItemCache
from minideconv.data.components import connected_components
from minideconv.data.voc_colors import VOC_CLASSES, VOID, voc_palette
from minideconv.errors import DataError

_FOLDERS = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
_PLACES = ("", "VOC2012", "VOCdevkit/VOC2012", "VOC2007", "VOCdevkit/VOC2007")
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_PALETTE = voc_palette()


def find_voc(root: str | Path) -> Path:
    """Find the folder that holds JPEGImages, SegmentationClass and ImageSets/Segmentation.

    `root` may be that folder itself (VOC2012), VOCdevkit around it, or the folder around VOCdevkit.

    Raises
    ------
    DataError
        If none of these has the three folders; the message lists the places looked at.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"VOC: {root} is not a folder; --data-root must be a VOCdevkit folder.")
    places = [root / place for place in _PLACES]
    for place in places:
        if all((place / folder).is_dir() for folder in _FOLDERS):
            return place
    best = max(places, key=lambda p: sum((p / folder).is_dir() for folder in _FOLDERS))
    lacking = [folder for folder in _FOLDERS if not (best / folder).is_dir()]
    if len(lacking) < len(_FOLDERS):
        raise DataError(
            f"VOC: {best} has no folder {' and no '.join(lacking)};"
            f" VOCdevkit's layout needs {', '.join(_FOLDERS)}."
        )
    raise DataError(
        f"VOC: no VOCdevkit layout under {root}; looked for {', '.join(_FOLDERS)}"
        f" in {root} itself and in {', '.join(_PLACES[1:])} below it."
    )


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
    `VOC_CLASSES`, 255 void. Greyscale PNGs of the same indices are read as well. A file that is
    missing, broken, of another size than its partner or labelled otherwise is a `DataError` that
    names it, when it is read; `validate()` reads them all.
    """

    def __init__(self, root: str | Path, split: str = "train", cache_mb: float = 512) -> None:
        self.root = find_voc(root)
        self.split = split
        self.classes = list(VOC_CLASSES)
        lists = self.root / "ImageSets" / "Segmentation"
        path = lists / f"{split}.txt"
        if not path.is_file():
            there = ", ".join(sorted(p.stem for p in lists.glob("*.txt"))) or "none"
            raise DataError(
                f"VOC: no split {split!r} ({path} is missing); the splits are: {there}."
            )
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"VOC: {path} cannot be read as text: {error}.") from error
        self.ids = [line.split()[0] for line in lines if line.strip()]
        if not self.ids:
            raise DataError(f"VOC: {path} lists no image.")
        self._cache: ItemCache[tuple[np.ndarray, np.ndarray]] = ItemCache(cache_mb)

    @property
    def num_classes(self) -> int:
        """Number of classes with the background: 21."""
        return len(self.classes)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"VOCSegmentation({str(self.root)!r}, {self.split!r}, {len(self)} images)"

    def name(self, index: int) -> str:
        """Return the image's id, e.g. 2007_000032."""
        return self.ids[index]

    def image_path(self, index: int) -> Path:
        """Say where item `index`'s photograph lies."""
        return self.root / "JPEGImages" / f"{self.ids[index]}.jpg"

    def mask_path(self, index: int) -> Path:
        """Say where item `index`'s class mask lies."""
        return self.root / "SegmentationClass" / f"{self.ids[index]}.png"

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) uint8 RGB and mask (H, W) uint8 of class indices, 255 void; read-only."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"VOC: index {index} is outside this split of {len(self)} images.")
        index = int(index) % len(self)
        return self._cache.get(index, lambda: self._read(index))

    def mask(self, index: int) -> np.ndarray:
        """Read the class mask alone: much faster than the pair, for counting classes."""
        return _read_mask(self.mask_path(index), VOC_CLASSES)

    def instances(self, index: int) -> np.ndarray:
        """Return (H, W) uint8: 0 background, 1, 2, ... the objects, 255 void.

        Read from SegmentationObject where it is there, else the connected regions of the mask.
        """
        path = self.root / "SegmentationObject" / f"{self.ids[index]}.png"
        mask = self[index][1]
        if not path.is_file():
            return connected_components(mask)
        instances = _read_indices(path)
        _same_size(path, instances.shape, self.mask_path(index), mask.shape)
        return instances

    def validate(self) -> list[str]:
        """Read every pair of the split; return one sentence for each file that is bad."""
        problems = []
        for index in range(len(self)):
            try:
                self._read(index)
            except DataError as error:
                problems.append(str(error))
        seen: set[str] = set()
        for name in self.ids:
            if name in seen:
                problems.append(f"VOC: the list of split {self.split!r} names {name} twice.")
            seen.add(name)
        return problems

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image = _read_image(self.image_path(index))
        mask = self.mask(index)
        _same_size(self.mask_path(index), mask.shape, self.image_path(index), image.shape[:2])
        return image, mask


def _open(path: Path, convert: str | None) -> Image.Image:
    if not path.is_file():
        raise DataError(f"VOC: {path} is missing.")
    if path.stat().st_size == 0:
        raise DataError(f"VOC: {path} is empty.")
    try:
        with Image.open(path) as file:
            file.load()
            return file.convert(convert) if convert else file.copy()
    except _UNREADABLE as error:
        reason = str(error).replace(str(path), "it").rstrip(".")
        raise DataError(
            f"VOC: {path} cannot be decoded; it is damaged or cut off ({reason})."
        ) from error


def _read_image(path: Path) -> np.ndarray:
    return np.array(_open(path, "RGB"))


def _read_indices(path: Path) -> np.ndarray:
    file = _open(path, None)
    if file.mode not in ("P", "L"):
        raise DataError(
            f"VOC: mask {path} has mode {file.mode}; masks must be palette PNGs (mode P) whose"
            " index is the class, so it was probably converted to colours."
        )
    return np.array(file)


def _read_mask(path: Path, classes: tuple[str, ...]) -> np.ndarray:
    file = _open(path, None)
    mask = _read_indices(path)
    counts = np.bincount(mask.ravel(), minlength=256)
    used = [int(value) for value in np.flatnonzero(counts)]
    wrong = [value for value in used if len(classes) <= value != VOID]
    if wrong:
        pixels = int(counts[wrong].sum())
        raise DataError(
            f"VOC: mask {path} holds the values {_some(wrong)} in {pixels} pixels;"
            f" legal are 0..{len(classes) - 1} and {VOID} (void)."
        )
    if file.mode == "P":
        _check_palette(path, file, used)
    return mask


def _check_palette(path: Path, file: Image.Image, used: list[int]) -> None:
    """Refuse a mask whose indices were dealt anew by a program that made its own palette."""
    flat = np.array(file.getpalette("RGB") or [], dtype=np.uint8)
    colours = flat.reshape(-1, 3)
    for value in used:
        if value >= len(colours):
            continue
        owners = np.flatnonzero((_PALETTE[: len(VOC_CLASSES)] == colours[value]).all(axis=1))
        if owners.size and int(owners[0]) != value:
            name = VOC_CLASSES[int(owners[0])]
            raise DataError(
                f"VOC: mask {path} shows index {value} in the colour of class {owners[0]} ({name});"
                " it was saved anew with a palette of its own, so its indices are not classes."
            )


def _same_size(
    path: Path, shape: tuple[int, ...], other: Path, other_shape: tuple[int, ...]
) -> None:
    if shape != other_shape:
        raise DataError(
            f"VOC: {path} is {shape[1]}x{shape[0]} pixels but {other} is"
            f" {other_shape[1]}x{other_shape[0]}; the two must have one size."
        )


def _some(values: list[int]) -> str:
    shown = ", ".join(map(str, values[:5]))
    return shown if len(values) <= 5 else f"{shown}, ... ({len(values)} values)"
