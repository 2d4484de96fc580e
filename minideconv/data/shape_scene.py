"""One picture of `Shapes`: overlapping things painted back to front, and how hard that is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from minideconv.data.shape_fills import CHANNELS, background_colour, contrasting_colour, fill
from minideconv.data.shape_outlines import OUTLINES, Outline, blob, pose, stroke
from minideconv.data.voc_colors import VOID
from minideconv.data.windows import Window, placement

__all__ = ["Difficulty", "Item", "Scene"]

Item = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Image (H, W, 3), class mask and instance mask (H, W), all uint8."""

_SUPERSAMPLE = 4


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
        clutter vivid, so that what is background can mostly be recognised by its colour.
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


class Scene:
    """One image while it is being painted, back to front."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], how: Difficulty) -> None:
        self.rng, self.size, self.how = rng, size, how
        self.unit = float(min(size))
        # VOC's void band is about 1 % of the image's side; the band of mixed pixels is one pixel
        # wide, so that larger images need it widened.
        self.widen = 2 * round((self.unit / 64 - 1) / 2) + 1
        self.canvas = np.zeros((*size, 3), dtype=np.float32)
        self.owner = np.zeros(size, dtype=np.uint8)  # no void in it: which is visible where
        self.labels = np.zeros(size, dtype=np.uint8)  # owner with the void borders
        self.areas = [0]
        self.class_of = [0]

    def draw(self) -> Item:
        """Paint background, clutter and objects, then light and noise over all."""
        rng, how = self.rng, self.how
        colour = background_colour(rng, how.muted)
        self.canvas[:] = fill(rng, self.size, self.unit, colour, how.texture)
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
        """Return whether the object is mostly inside the image and leaves enough of the others."""
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
        paint = fill(self.rng, placed.alpha.shape, self.unit, colour, self.how.texture)
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
        canvas = Image.new("L", tuple(((high - low) * _SUPERSAMPLE).tolist()))
        pen = ImageDraw.Draw(canvas)
        for ring, ink in zip(outline, [255] + [0] * len(outline), strict=False):
            corners = (ring + shift - low) * _SUPERSAMPLE - 0.5
            pen.polygon(corners.ravel().tolist(), fill=ink)
        self._image = canvas.reduce(_SUPERSAMPLE)
        whole = np.asarray(self._image)
        self.full_area = int((whole >= 128).sum())
        (x1, y1), (x2, y2) = low.tolist(), high.tolist()
        self.window, self._inside = placement(Window(x1, y1, x2 - 1, y2 - 1), *size)
        self.alpha = whole[self._inside]

    def border(self, widen: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the outline covers at least a quarter of a pixel, and where three quarters."""
        if widen <= 1:
            return self.alpha >= 64, self.alpha > 191
        grown = np.asarray(self._image.filter(ImageFilter.MaxFilter(widen)))[self._inside]
        shrunk = np.asarray(self._image.filter(ImageFilter.MinFilter(widen)))[self._inside]
        return grown >= 64, shrunk > 191
