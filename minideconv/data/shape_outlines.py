"""The outlines of the classes of `Shapes`: closed polygons of radius about one, not yet posed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["OUTLINES", "Outline", "Ring", "blob", "pose", "stroke"]

Ring = np.ndarray  # (n, 2) of x, y
Outline = list[Ring]  # the outer border, then holes

_TURN = 2 * np.pi


def _arc(start: float, stop: float, points: int = 40, radius: float = 1.0) -> Ring:
    angles = np.linspace(start, stop, points)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _disc(rng: np.random.Generator) -> Outline:
    return [_arc(0, _TURN)]


def _ring(rng: np.random.Generator) -> Outline:
    return [_arc(0, _TURN), _arc(0, _TURN, radius=rng.uniform(0.45, 0.68))]


def _triangle(rng: np.random.Generator) -> Outline:
    corners = _TURN * (np.arange(3) / 3 + rng.uniform(-0.04, 0.04, 3))
    return [1.15 * np.stack([np.cos(corners), np.sin(corners)], axis=1)]


def _rectangle(rng: np.random.Generator) -> Outline:
    half = rng.uniform(0.55, 0.9)
    return [np.array([(-0.9, -half), (0.9, -half), (0.9, half), (-0.9, half)])]


def _star(rng: np.random.Generator) -> Outline:
    angles = np.arange(10) * _TURN / 10
    radii = np.where(np.arange(10) % 2 == 0, 1.2, rng.uniform(0.42, 0.55))
    return [np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)]


def _cross(rng: np.random.Generator) -> Outline:
    a = rng.uniform(0.22, 0.36)
    quarter = [(1.0, -a), (1.0, a), (a, a)]
    turned = [(x, y) for x, y in quarter]
    for _ in range(3):
        quarter = [(-y, x) for x, y in quarter]
        turned += quarter
    return [np.array(turned)]


def _crescent(rng: np.random.Generator) -> Outline:
    # A disc minus a disc of the same radius whose centre is moved by `shift`: the two borders
    # meet where cos(angle) = shift / 2, and the inner arc is the outer one's mirror image, moved.
    shift = rng.uniform(0.6, 0.85)
    meet = np.arccos(shift / 2)
    outer = _arc(meet, _TURN - meet)
    inner = _arc(np.pi + meet, np.pi - meet, points=24)
    ring = np.concatenate([outer, inner + np.array([shift, 0.0])])
    return [1.15 * (ring + np.array([0.3, 0.0]))]


def _tee(rng: np.random.Generator) -> Outline:
    a = rng.uniform(0.18, 0.3)
    top = -0.9 + 2 * a
    corners = [(-0.95, -0.9), (0.95, -0.9), (0.95, top), (a, top)]
    corners += [(a, 1.0), (-a, 1.0), (-a, top), (-0.95, top)]
    return [np.array(corners)]


def _heart(rng: np.random.Generator) -> Outline:
    t = np.linspace(0, _TURN, 48, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [np.stack([16 * np.sin(t) ** 3, -y - 2.0], axis=1) / 15.0]


def _arrow(rng: np.random.Generator) -> Outline:
    a, neck = rng.uniform(0.18, 0.28), rng.uniform(-0.1, 0.2)
    corners = [(1.1, 0.0), (neck, 0.85), (neck, a), (-1.0, a)]
    corners += [(-1.0, -a), (neck, -a), (neck, -0.85)]
    return [np.array(corners)]


_CLASSES = (_disc, _ring, _triangle, _rectangle, _star, _cross, _crescent, _tee, _heart, _arrow)

OUTLINES: dict[str, Callable[[np.random.Generator], Outline]] = {
    draw.__name__.removeprefix("_"): draw for draw in _CLASSES
}
"""By the name of a class, what draws its outline."""


def blob(rng: np.random.Generator) -> Outline:
    """Draw a smooth irregular outline that belongs to no class: clutter."""
    angles = np.linspace(0, _TURN, 36, endpoint=False)
    radii = np.ones_like(angles)
    for wave in (2, 3, 5):
        radii += rng.uniform(0.12, 0.3) * np.cos(wave * angles + rng.uniform(0, _TURN))
    radii = np.maximum(radii, 0.25)
    return [np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)]


def stroke(rng: np.random.Generator) -> Outline:
    """Draw a bent strip of changing width that belongs to no class: clutter."""
    along = np.linspace(-1.6, 1.6, 16)
    bend = rng.uniform(0.25, 0.6) * np.sin(rng.uniform(1.2, 2.4) * along + rng.uniform(0, _TURN))
    width = rng.uniform(0.06, 0.16) * (1.2 - np.abs(along) / 2.2)
    upper = np.stack([along, bend + width], axis=1)
    lower = np.stack([along, bend - width], axis=1)
    return [np.concatenate([upper, lower[::-1]])]


def pose(outline: Outline, rng: np.random.Generator, radius: float, stretch: float) -> Outline:
    """Stretch the outline along its own axes, slant it a little, turn it by any angle, scale it."""
    aspect = np.exp(rng.uniform(-1, 1) * np.log(stretch))
    slant = rng.uniform(-0.15, 0.15)
    angle = rng.uniform(0, _TURN)
    own = np.array([[np.sqrt(aspect), slant], [0.0, 1 / np.sqrt(aspect)]])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = radius * turn @ own
    return [ring @ matrix.T for ring in outline]
