"""Twelve photographs with objects of three classes, as a user may have labelled them.

Every object is a convex polygon, so that the true masks are known without any code of the
library's: a point lies inside of one where it is on the same side of all edges. The page about
one's own data shows them, and the tests convert and train on them.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

__all__ = ["CLASSES", "Scene", "inside", "labelme", "photograph", "scenes", "true_mask", "write"]

CLASSES = ("background", "leaf", "stick", "stone")
_SHADES = {"leaf": (60, 170, 70), "stick": (150, 95, 40), "stone": (130, 130, 150)}
ORIENTED = 5
"""The photograph that was taken with the camera held sideways."""


class Scene(NamedTuple):
    """A photograph's name, its upright pixels, its objects from the back to the front."""

    name: str
    image: np.ndarray
    objects: list[tuple[str, np.ndarray]]


def inside(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Which pixels' centres lie on one side of all edges of a convex polygon."""
    y, x = np.mgrid[:height, :width] + 0.5
    sides = [
        (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])
        for p, q in zip(points, np.roll(points, -1, axis=0), strict=True)
    ]
    return np.all(np.array(sides) > 0, axis=0) | np.all(np.array(sides) < 0, axis=0)


def true_mask(scene: Scene) -> np.ndarray:
    """The mask (H, W) uint8 of a scene, classes numbered as in CLASSES."""
    mask = np.zeros(scene.image.shape[:2], np.uint8)
    for label, points in scene.objects:
        mask[inside(points, *mask.shape)] = CLASSES.index(label)
    return mask


def scenes(count: int = 12, scale: float = 1.0) -> list[Scene]:
    """Scenes by a fixed seed, each of another size; the last one shows nothing."""
    rng = np.random.default_rng(14)
    made = []
    for number in range(count):
        height, width = round(scale * (40 + 2 * number)), round(scale * (64 - number))
        objects = [] if number == count - 1 else _objects(rng, height, width, scale)
        image = rng.integers(190, 230, (height, width, 3)).astype(np.uint8)
        for label, points in objects:
            pixels = inside(points, height, width)
            image[pixels] = rng.integers(-15, 16, (pixels.sum(), 3)) + np.array(_SHADES[label])
        made.append(Scene(f"field {number:02d}", image, objects))
    return made


def _objects(
    rng: np.random.Generator, height: int, width: int, scale: float
) -> list[tuple[str, np.ndarray]]:
    """A large stone, a leaf that may lie on it, and a thin stick over both."""
    radii = {"stone": (16, 14.0, 12.0), "leaf": (4, 9.0, 5.0), "stick": (4, 11.0, 3.5)}
    objects = []
    for label, (count, a, b) in radii.items():
        angles = np.arange(count) * 2 * np.pi / count + 0.3
        turn, edge = rng.uniform(0, np.pi), 14 * scale
        centre = rng.uniform((edge, edge), (width - edge, height - edge))
        x, y = scale * a * np.cos(angles), scale * b * np.sin(angles)
        spun = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)])
        objects.append((label, np.round(spun.T + centre, 3)))
    return objects


def photograph(scene: Scene) -> bytes:
    """A scene as a JPEG; one of them stored sideways, with EXIF orientation 6."""
    sideways = int(scene.name[-2:]) == ORIENTED
    picture = Image.fromarray(np.rot90(scene.image) if sideways else scene.image)
    exif = Image.Exif()
    if sideways:
        exif[274] = 6  # to be turned by 90 degrees clockwise
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95, exif=exif.tobytes())
    return file.getvalue()


def write(path: Path, content: bytes | str | dict) -> None:
    """Write a file and the folders around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def labelme(root: Path, made: list[Scene]) -> Path:
    """A JSON file beside each photograph."""
    for scene in made:
        height, width = scene.image.shape[:2]
        shapes = [
            {"label": label, "points": points.tolist(), "group_id": None, "shape_type": "polygon",
             "flags": {}}
            for label, points in scene.objects
        ]  # fmt: skip
        write(root / f"{scene.name}.jpg", photograph(scene))
        write(root / f"{scene.name}.json", {
            "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": f"{scene.name}.jpg",
            "imageData": None, "imageHeight": height, "imageWidth": width,
        })  # fmt: skip
    return root
