"""`Shapes`: a generated segmentation set in PASCAL VOC's form, drawn in code from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from minideconv.data.cache import ItemCache
from minideconv.data.shape_fills import CHANNELS, background_colour, contrasting_colour, fill
from minideconv.data.shape_outlines import OUTLINES, Outline, blob, pose, stroke
from minideconv.data.voc_colors import VOID
from minideconv.errors import UsageError

__all__ = ["DIFFICULTIES", "Difficulty", "Shapes"]

_SUPERSAMPLE = 4
_SPLITS = {"train": 0, "val": 1, "test": 2}
_Item = tuple[np.ndarray, np.ndarray, np.ndarray]
_LENGTHS = {"train": 6000, "val": 400, "test": 400}


@dataclass(frozen=True)
class Difficulty:
    """What makes a scene hard. Lengths are fractions of the image's shorter side, colours 0..255.

    Parameters
    ----------
    classes : names of the foreground classes, from `shape_outlines.OUTLINES`.
    objects : least and most objects tried per image.
    radius : smallest and largest radius of an object, drawn log-uniformly.
    stretch : largest aspect ratio an object is stretched to.
    clutter : least and most background shapes (blobs and strokes of no class).
    contrast : least distance between an object's colour and the mean of what it covers.
    texture : amplitude of the textures of objects, clutter and background.
    light : strength of the uneven illumination, 0..1.
    noise : standard deviation of the pixel noise.
    visible : least fraction of an object that later objects must leave uncovered.
    muted : 0 draws the background's colour like any other; 1 makes it almost grey and objects and
        clutter vivid, so that what is background can mostly be told by its colour.
    """

    classes: tuple[str, ...]
    objects: tuple[int, int]
    radius: tuple[float, float]
    stretch: float
    clutter: tuple[int, int]
    contrast: float
    texture: float
    light: float
    noise: float
    visible: float
    muted: float = 0.0


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
    only the outline tells a class, and an object from clutter. The background has the same
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
        height, width = (size, size) if isinstance(size, int) else size
        if min(height, width) < 16:
            raise UsageError(
                f"Shapes: size is {height}x{width}; each side must be at least 16 pixels,"
                " because the shapes cannot be told apart below that"
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
        self.size = (height, width)
        self.classes = ["background", *difficulty.classes]
        self._length = length
        self.cache: ItemCache[_Item] = ItemCache(cache_mb)

    @property
    def num_classes(self) -> int:
        """Number of classes with the background."""
        return len(self.classes)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"Shapes({self.split!r}, {len(self)} images of {self.size[0]}x{self.size[1]})"

    def name(self, index: int) -> str:
        """Say what messages call item `index`."""
        return f"shapes-{self.seed}-{self.split}-{index:05d}"

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) uint8 RGB and mask (H, W) uint8 of class indices, 255 void; read-only."""
        image, mask, _ = self._item(index)
        return image, mask

    def instances(self, index: int) -> np.ndarray:
        """Return (H, W) uint8: 0 background, 1, 2, ... the objects, 255 void, as VOC's files do."""
        return self._item(index)[2]

    def _item(self, index: int) -> _Item:
        if not -len(self) <= index < len(self):
            raise IndexError(f"Shapes: index {index} is outside this split of {len(self)} images")
        index = int(index) % len(self)
        return self.cache.get(index, lambda: self._draw(index))

    def _draw(self, index: int) -> _Item:
        entropy = np.random.SeedSequence(self.seed, spawn_key=(_SPLITS[self.split], index))
        return _Scene(np.random.default_rng(entropy), self.size, self.difficulty).draw()


class _Scene:
    """One image while it is being painted, back to front."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], how: Difficulty) -> None:
        self.rng, self.size, self.how = rng, size, how
        self.unit = float(min(size))
        # VOC's void band is about 1 % of the image's side; the band of mixed pixels is one pixel
        # wide, so that larger images need it widened.
        self.widen = 2 * round((self.unit / 64 - 1) / 2) + 1
        self.canvas = np.zeros((*size, 3), dtype=np.float32)
        self.owner = np.zeros(size, dtype=np.uint8)  # no void in it: who is visible where
        self.labels = np.zeros(size, dtype=np.uint8)  # owner with the void borders
        self.areas = [0]
        self.class_of = [0]

    def draw(self) -> _Item:
        rng, how = self.rng, self.how
        height, width = self.size
        self.canvas[:] = fill(
            rng, height, width, self.unit, background_colour(rng, how.muted), how.texture
        )
        for _ in range(rng.integers(how.clutter[0], how.clutter[1] + 1)):
            self._add_clutter()
        wanted = int(rng.integers(how.objects[0], how.objects[1] + 1))
        for _ in range(wanted):
            self._add_object()
        while len(self.areas) == 1:  # never an empty image
            self._add_object()
        self._light_and_noise()
        classes = np.zeros(256, dtype=np.uint8)
        classes[: len(self.class_of)] = self.class_of
        classes[VOID] = VOID
        image = np.rint(self.canvas, out=self.canvas).clip(0, 255).astype(np.uint8)
        return image, classes[self.labels], self.labels

    def _add_clutter(self) -> None:
        rng = self.rng
        outline = blob(rng) if rng.random() < 0.5 else stroke(rng)
        low, high = self.how.radius
        radius = self.unit * np.exp(rng.uniform(np.log(0.5 * low), np.log(0.7 * high)))
        placed = _Cover(
            pose(outline, rng, radius, 1.5), rng.uniform(0, 1, 2) * self.size, self.size
        )
        if placed.alpha.size:
            self._paint(placed)

    def _add_object(self) -> None:
        rng, how = self.rng, self.how
        index = int(rng.integers(len(how.classes))) + 1
        low, high = how.radius
        radius = self.unit * np.exp(rng.uniform(np.log(low), np.log(high)))
        outline = pose(OUTLINES[how.classes[index - 1]](rng), rng, radius, how.stretch)
        for _ in range(6):
            placed = _Cover(outline, rng.uniform(0.08, 0.92, 2) * self.size, self.size)
            if self._leaves_enough(placed):
                break
        else:
            return
        self._paint(placed)
        label = len(self.areas)
        solid = placed.alpha >= 128
        self.owner[placed.window][solid] = label
        self.areas.append(int(solid.sum()))
        self.class_of.append(index)
        outer, inner = placed.border(self.widen)
        labels = self.labels[placed.window]
        labels[outer] = VOID
        labels[inner] = label

    def _leaves_enough(self, placed: _Cover) -> bool:
        """Tell whether the object is mostly inside the image and leaves enough of the others."""
        solid = placed.alpha >= 128
        area = int(solid.sum())
        if area < 12 or area < 0.6 * placed.full_area:
            return False
        before = np.bincount(self.owner.ravel(), minlength=len(self.areas))
        hidden = np.bincount(self.owner[placed.window][solid], minlength=len(self.areas))
        left = (before - hidden)[1:]
        return bool((left >= self.how.visible * np.array(self.areas[1:])).all())

    def _paint(self, placed: _Cover) -> None:
        under = self.canvas[placed.window]
        alpha = placed.alpha.astype(np.float32) / 255
        covered = np.empty_like(under)
        for channel in CHANNELS:
            np.multiply(under[..., channel], alpha, out=covered[..., channel])
        mean = covered.sum(axis=(0, 1)) / max(float(alpha.sum()), 1e-3)
        colour = contrasting_colour(self.rng, mean, self.how.contrast, self.how.muted)
        height, width = placed.alpha.shape
        paint = fill(self.rng, height, width, self.unit, colour, self.how.texture)
        paint -= under
        for channel in CHANNELS:
            paint[..., channel] *= alpha
        under += paint

    def _light_and_noise(self) -> None:
        rng, how = self.rng, self.how
        height, width = self.size
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        y, x = _line(height)[:, None], _line(width)[None, :]
        slope = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
        light = 1 + np.float32(how.light) * np.sin(1.5 * slope + np.float32(phase))
        for channel in CHANNELS:
            self.canvas[..., channel] *= light
        noise = rng.standard_normal(self.canvas.shape, dtype=np.float32)
        noise *= np.float32(how.noise * rng.uniform(0.3, 1.0))
        self.canvas += noise


@lru_cache(maxsize=8)
def _line(length: int) -> np.ndarray:
    """Return `length` numbers from -1 to 1."""
    return np.linspace(-1, 1, length, dtype=np.float32)


class _Cover:
    """How much of each pixel an outline covers, 0..255, in the part of the image it touches."""

    def __init__(self, outline: Outline, centre: np.ndarray, size: tuple[int, int]) -> None:
        shift = centre[::-1]
        low = np.floor(outline[0].min(axis=0) + shift).astype(int) - 2
        high = np.ceil(outline[0].max(axis=0) + shift).astype(int) + 2
        width, height = (int(n) for n in high - low)
        canvas = Image.new("L", (width * _SUPERSAMPLE, height * _SUPERSAMPLE))
        pen = ImageDraw.Draw(canvas)
        for ring, ink in zip(outline, [255] + [0] * len(outline), strict=False):
            corners = (ring + shift - low) * _SUPERSAMPLE - 0.5
            pen.polygon(corners.ravel().tolist(), fill=ink)
        self._image = canvas.reduce(_SUPERSAMPLE)
        whole = np.asarray(self._image)
        self.full_area = int((whole >= 128).sum())
        top, left = max(0, int(low[1])), max(0, int(low[0]))
        bottom, right = min(size[0], int(high[1])), min(size[1], int(high[0]))
        self.window = (slice(top, max(top, bottom)), slice(left, max(left, right)))
        self._inside = (
            slice(top - int(low[1]), max(top, bottom) - int(low[1])),
            slice(left - int(low[0]), max(left, right) - int(low[0])),
        )
        self.alpha = whole[self._inside]

    def border(self, widen: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the outline covers at least a quarter of a pixel, and where three quarters."""
        if widen <= 1:
            return self.alpha >= 64, self.alpha > 191
        grown = np.asarray(self._image.filter(ImageFilter.MaxFilter(widen)))[self._inside]
        shrunk = np.asarray(self._image.filter(ImageFilter.MinFilter(widen)))[self._inside]
        return grown >= 64, shrunk > 191
