"""Line drawings whose corners and junctions are known.

Drawn from a seed: in each quarter of the picture, the outline of a rectangle or of a triangle with
a right angle; a line that begins on a side of one and leaves the picture (a T where it begins).
Where it crosses the others is an X. Lines have one of four directions, 45 degrees apart. None ends
freely: a point of a line is straight, near one of these places, or at the picture's border.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minideconv.errors import UsageError

__all__ = ["DIRECTIONS", "KINDS", "Drawing", "draw", "draw_lines", "drawings"]

KINDS = ("corner", "T", "X")
LEAST = 32
"""Side of the smallest drawing."""
_HALF_WIDTH = 0.8
_SIDES = (0.3, 0.65)  # of an outline, as shares of the quarter's
_FREE = 2  # pixels between an outline and the quarter's border
DIRECTIONS = np.array([(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)])
"""Steps of rows and columns, 45 degrees apart: all places are whole pixels."""

Point = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Drawing:
    """A picture, and what is where in it.

    Attributes
    ----------
    image : array (H, W)
        In [0, 1]: 0 is paper, 1 a line.
    places : array (K, 2)
        Row and column of corners and junctions; a pixel's centre has whole numbers.
    kinds : tuple of str
        What each place is: of `KINDS`.
    """

    image: npt.NDArray[np.float64]
    places: npt.NDArray[np.float64]
    kinds: tuple[str, ...]


def drawings(count: int, side: int, seed: int, first: int = 0) -> list[Drawing]:
    """Return drawings of `side` x `side` pixels, from number `first` on.

    Each depends on the seed and its number alone.

    Raises
    ------
    UsageError
        If `side` is below 32, or `count` below 1.
    """
    if side < LEAST:
        raise UsageError(f"drawings: side is {side}; it must be at least {LEAST} pixels")
    if count < 1:
        raise UsageError(f"drawings: count is {count}; it must be at least 1")
    return [draw(side, np.random.default_rng([seed, k])) for k in range(first, first + count)]


def draw(side: int, rng: np.random.Generator) -> Drawing:
    """Draw one: four outlines, and a line from a side of one of them."""
    half = side // 2
    segments: list[tuple[Point, Point]] = []
    places: list[Point] = []
    inside: list[Point] = []
    for corner in ((0, 0), (0, half), (half, 0), (half, half)):
        vertices = _outline(half, rng) + corner
        places += list(vertices)
        segments += list(zip(vertices, np.roll(vertices, -1, axis=0), strict=True))
        inside += [vertices.mean(axis=0)] * len(vertices)
    chosen = int(rng.integers(len(segments)))
    a, b = segments[chosen]
    steps = np.abs(b - a).max()
    foot = a + np.round(rng.uniform(0.35, 0.65) * steps) * (b - a) / steps
    outwards = foot - inside[chosen]
    outwards -= (outwards @ (b - a)) / ((b - a) @ (b - a)) * (b - a)
    away = [d for d in DIRECTIONS if d @ outwards > 1e-9 * np.hypot(*outwards)]
    segments.append((foot, foot + 2 * side * away[rng.integers(len(away))]))
    kinds = ["corner"] * len(places) + ["T"]
    places.append(foot)
    for i, one in enumerate(segments):
        for other in segments[:i]:
            place = _crossing(one, other)
            if place is not None:
                places.append(place)
                kinds.append("X")
    seen = [bool(((p >= 0) & (p <= side - 1)).all()) for p in places]
    return Drawing(
        draw_lines(side, segments),
        np.array([p for p, here in zip(places, seen, strict=True) if here]),
        tuple(kind for kind, here in zip(kinds, seen, strict=True) if here),
    )


def _outline(side: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the vertices of a triangle or a rectangle: (3 or 4, 2)."""
    turn = int(rng.integers(8))
    one, other = DIRECTIONS[turn], DIRECTIONS[(turn + 2) % 8]
    step = np.hypot(*one)  # of a diagonal, a step is longer
    lengths = np.round(rng.uniform(*_SIDES, 2) * side / step)
    if rng.integers(2):
        corners = [0 * one, lengths[0] * one, lengths[0] * other]
    else:
        a, b = lengths[0] * one, lengths[1] * other
        corners = [0 * one, a, a + b, b]
    vertices = np.array(corners, np.float64)
    low = _FREE - vertices.min(axis=0)
    high = side - 1 - _FREE - vertices.max(axis=0)
    return vertices + rng.integers(low, np.maximum(high, low) + 1)


def _crossing(one: tuple[Point, Point], other: tuple[Point, Point]) -> Point | None:
    """Return where two segments cross, both in their inner part; else None."""
    (a, b), (c, d) = one, other
    matrix = np.stack([b - a, c - d], axis=1)
    if abs(np.linalg.det(matrix)) < 1e-9:
        return None
    t, u = np.linalg.solve(matrix, c - a)
    inner = 1e-9
    if not (inner < t < 1 - inner and inner < u < 1 - inner):
        return None
    return np.asarray(a + t * (b - a))


def draw_lines(side: int, segments: list[tuple[Point, Point]]) -> npt.NDArray[np.float64]:
    """Draw lines of about 1.6 pixels, with soft borders: by each pixel's distance to the lines."""
    pixels = np.moveaxis(np.indices((side, side)), 0, -1).astype(np.float64)
    image = np.zeros((side, side))
    for a, b in segments:
        along = b - a
        share = np.clip(((pixels - a) @ along) / (along @ along), 0, 1)
        distance = np.hypot(*np.moveaxis(pixels - (a + share[..., None] * along), -1, 0))
        image = np.maximum(image, np.clip(_HALF_WIDTH + 0.5 - distance, 0, 1))
    return image
