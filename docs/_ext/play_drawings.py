"""Drawings as a pen makes them: wobbly outlines or filled shapes, with what each pixel belongs to.

What the small network of the page to play with is trained on (see `play_network`). A drawing is
ink in [0, 1]; its mask has the whole shape, the inside of an outline too. Scribbles that close
around nothing are background.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["CLASSES", "SIZE", "drawing", "drawings"]

SIZE = 48
CLASSES = ("background", "circle", "triangle", "rectangle")
_FINE = 4  # a pixel is the mean of 4 x 4 finer ones, here and on the page's canvas
_POINTS = 64


def drawings(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ink (count, 1, 48, 48) float32 and masks (count, 48, 48) int64."""
    rng = np.random.default_rng(seed)
    made = [drawing(rng) for _ in range(count)]
    ink, masks = (np.stack(arrays) for arrays in zip(*made, strict=True))
    return ink[:, None].astype(np.float32), masks.astype(np.int64)


def drawing(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return one drawing of 1 to 3 shapes that do not touch: ink and mask, both (48, 48)."""
    canvas = Image.new("L", (SIZE * _FINE, SIZE * _FINE))
    mask = Image.new("L", canvas.size)
    taken: list[tuple[np.ndarray, float]] = []
    pen = rng.uniform(1.5, 3.0)
    for _ in range(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2])):
        placed = _place(rng, taken, rng.uniform(7, 16))
        if placed is not None:
            _shape(rng, canvas, mask, *placed, pen)
    if rng.random() < 0.2:
        placed = _place(rng, taken, rng.uniform(4, 8))
        if placed is not None:
            _scribble(rng, canvas, *placed, pen)
    ink = np.asarray(canvas.reduce(_FINE), dtype=np.float32) / 255
    middle = np.asarray(mask)[_FINE // 2 :: _FINE, _FINE // 2 :: _FINE]
    return ink, middle


def _place(
    rng: np.random.Generator, taken: list[tuple[np.ndarray, float]], radius: float
) -> tuple[np.ndarray, float] | None:
    """Find a free centre for a shape of such a radius, in pixels; None if there is none."""
    for _ in range(20):
        centre = rng.uniform(radius + 1, SIZE - radius - 1, 2)
        if all(np.hypot(*(centre - other)) > radius + r + 2 for other, r in taken):
            taken.append((centre, radius))
            return centre, radius
    return None


def _shape(
    rng: np.random.Generator,
    canvas: Image.Image,
    mask: Image.Image,
    centre: np.ndarray,
    radius: float,
    pen: float,
) -> None:
    """Draw one shape of a random class, as an outline or filled, and note its pixels."""
    label = int(rng.integers(1, len(CLASSES)))
    corners = {1: _circle, 2: _triangle, 3: _rectangle}[label](rng)
    turn = rng.uniform(-np.pi, np.pi) if rng.random() < 0.1 else rng.normal(0, 0.2)
    outline = _wobble(rng, _resampled(corners)) @ _rotation(turn).T * radius + centre
    fine = outline * _FINE
    width = round(pen * _FINE)
    closed = [tuple(point) for point in fine]
    filled = rng.random() < 0.4
    if filled:
        ImageDraw.Draw(canvas).polygon(closed, fill=255)
    # A hand starts anywhere, and ends a little before or behind where it began.
    start, end = rng.integers(_POINTS), _POINTS + int(rng.integers(-2, 4))
    stroke = np.take(fine, range(start, start + end), axis=0, mode="wrap")
    for image, value in ((canvas, 255), (mask, label)):
        _stroke(image, stroke, width, value)
    ImageDraw.Draw(mask).polygon(closed, fill=label)


def _scribble(
    rng: np.random.Generator, canvas: Image.Image, centre: np.ndarray, radius: float, pen: float
) -> None:
    """Draw an open line: straight, or a zigzag."""
    steps = int(rng.integers(2, 6))
    across = np.linspace(-1, 1, steps)
    line = np.stack([across, rng.uniform(-0.5, 0.5, steps)], axis=1)
    line = line @ _rotation(rng.uniform(-np.pi, np.pi)).T * radius + centre
    _stroke(canvas, line * _FINE, round(pen * _FINE), 255)


def _stroke(image: Image.Image, points: np.ndarray, width: int, value: int) -> None:
    """Draw a line with round ends and joints."""
    draw = ImageDraw.Draw(image)
    draw.line([tuple(point) for point in points], fill=value, width=width)
    for x, y in points:
        r = width / 2
        draw.ellipse((x - r, y - r, x + r, y + r), fill=value)


def _circle(rng: np.random.Generator) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles) * rng.uniform(0.75, 1)], axis=1)


def _triangle(rng: np.random.Generator) -> np.ndarray:
    angles = -np.pi / 2 + 2 * np.pi * (np.arange(3) / 3 + rng.uniform(-0.05, 0.05, 3))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(0.85, 1, (3, 1))


def _rectangle(rng: np.random.Generator) -> np.ndarray:
    half = np.array([1.0, rng.uniform(0.55, 1)])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half / np.hypot(*half)
    return corners + rng.uniform(-0.06, 0.06, (4, 2))


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _resampled(corners: np.ndarray) -> np.ndarray:
    """Return points at equal distances on a closed outline."""
    closed = np.concatenate([corners, corners[:1]])
    lengths = np.hypot(*np.diff(closed, axis=0).T)
    at = np.concatenate([[0], np.cumsum(lengths)])
    wanted = np.linspace(0, at[-1], _POINTS, endpoint=False)
    return np.stack([np.interp(wanted, at, axis) for axis in closed.T], axis=1)


def _wobble(rng: np.random.Generator, outline: np.ndarray) -> np.ndarray:
    """Add what a hand adds: a few slow waves along the outline."""
    phase = 2 * np.pi * np.arange(_POINTS)[:, None] / _POINTS
    for waves in range(2, 6):
        shift = rng.uniform(-np.pi, np.pi, 2)
        outline = outline + rng.normal(0, 0.05, 2) / waves * np.sin(waves * phase + shift)
    return outline
