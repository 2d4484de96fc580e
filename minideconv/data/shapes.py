"""`Shapes`: a generated segmentation set in PASCAL VOC's form, drawn in code from a seed."""

from __future__ import annotations

import numpy as np

from minideconv.data.cache import ItemCache
from minideconv.data.shape_outlines import OUTLINES
from minideconv.data.shape_scene import Difficulty, Item, Scene
from minideconv.errors import UsageError

__all__ = ["DIFFICULTIES", "Difficulty", "Shapes"]

_SPLITS = {"train": 0, "val": 1, "test": 2}
_LENGTHS = {"train": 6000, "val": 400, "test": 400}


_EASY = ("disc", "triangle", "rectangle", "cross")
_NORMAL = (*_EASY, "star", "ring", "crescent", "tee")

DIFFICULTIES = {
    "easy": Difficulty(_EASY, (1, 3), (0.16, 0.32), 1.15, (0, 1), 110, 8, 0.05, 2, 0.7, 1.0),
    "normal": Difficulty(_NORMAL, (1, 4), (0.14, 0.36), 1.3, (1, 4), 90, 28, 0.2, 6, 0.55, 0.8),
    "hard": Difficulty(tuple(OUTLINES), (1, 6), (0.1, 0.4), 1.6, (2, 7), 60, 45, 0.35, 10, 0.4),
}


class Shapes:
    """Images of overlapping textured shapes with their class masks, drawn by a seed.

    All classes and the clutter draw colours and textures from the same distributions, so that
    only the outline distinguishes a class, and an object from clutter. The background has the same
    textures; how much greyer its colours are is `Difficulty.muted`. A border pixel that belongs
    to two things at once is void (255), as in VOC.

    Parameters
    ----------
    split : "train", "val" or "test"; different images, never the same.
    length : images in the split; None: 6000 for "train", 400 for "val" and "test".
    size : side in pixels, or (height, width).
    seed : another seed is another data set.
    difficulty : "easy" (6 classes with background), "normal" (9), "hard" (11), or a `Difficulty`.
    cache_mb : drawn images are kept, up to so many MiB; 0 draws anew at each access.

    Notes
    -----
    Item i depends on (seed, split, i) alone: any order, any subset, any number of threads or
    processes gives the same bytes. Drawn with Pillow, so another version of Pillow may move single
    grey levels.

    Examples
    --------
    >>> image, mask = Shapes("train", length=10)[3]
    >>> image.shape, image.dtype, mask.shape
    ((64, 64, 3), dtype('uint8'), (64, 64))
    """

    holds_gil = True
    """Drawing is Python code: threads would wait for each other, processes do not."""

    def __init__(
        self,
        split: str = "train",
        length: int | None = None,
        size: int | tuple[int, int] = 64,
        seed: int = 0,
        difficulty: str | Difficulty = "normal",
        cache_mb: float = 256,
    ) -> None:
        if split not in _SPLITS:
            raise UsageError(f"Shapes: split is {split!r}; it must be 'train', 'val' or 'test'")
        length = _LENGTHS[split] if length is None else length
        if length < 1:
            raise UsageError(f"Shapes: length is {length}; it must be at least 1")
        self.size = (size, size) if isinstance(size, int) else size
        if min(self.size) < 16:
            raise UsageError(
                f"Shapes: size is {'x'.join(map(str, self.size))}; each side must be at least 16"
                " pixels, because the shapes cannot be distinguished below that"
            )
        if seed < 0:
            raise UsageError(f"Shapes: seed is {seed}; it must be 0 or more")
        if isinstance(difficulty, str):
            if difficulty not in DIFFICULTIES:
                raise UsageError(
                    f"Shapes: difficulty is {difficulty!r};"
                    f" it must be one of {', '.join(map(repr, DIFFICULTIES))} or a Difficulty"
                )
            difficulty = DIFFICULTIES[difficulty]
        unknown = [name for name in difficulty.classes if name not in OUTLINES]
        if unknown:
            raise UsageError(
                f"Shapes: difficulty.classes names {unknown[0]!r};"
                f" the shapes that can be drawn are {', '.join(OUTLINES)}"
            )
        self.split, self.seed, self.difficulty = split, seed, difficulty
        self.classes = ["background", *difficulty.classes]
        self.num_classes = len(self.classes)
        self._length = length
        self.cache: ItemCache[Item] = ItemCache(cache_mb)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"Shapes({self.split!r}, {len(self)} images of {self.size[0]}x{self.size[1]})"

    def name(self, index: int) -> str:
        """Return what messages call item `index`."""
        return f"shapes-{self.seed}-{self.split}-{index:05d}"

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) uint8 RGB and mask (H, W) uint8 of class indices, 255 void; read-only."""
        return self._item(index)[:2]

    def instances(self, index: int) -> np.ndarray:
        """Return (H, W) uint8: 0 background, 1, 2, ... the objects, 255 void, as VOC's files do."""
        return self._item(index)[2]

    def _item(self, index: int) -> Item:
        if not -len(self) <= index < len(self):
            raise IndexError(f"Shapes: index {index} is outside this split of {len(self)} images")
        index = int(index) % len(self)
        return self.cache.get(index, lambda: self._draw(index))

    def _draw(self, index: int) -> Item:
        entropy = np.random.SeedSequence(self.seed, spawn_key=(_SPLITS[self.split], index))
        return Scene(np.random.default_rng(entropy), self.size, self.difficulty).draw()
