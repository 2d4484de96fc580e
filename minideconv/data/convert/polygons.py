"""Outlines become pixels: which pixels of a picture lie inside a polygon or a circle.

Coordinates are in pixels, x to the right and y down, and (0, 0) is the upper left corner of the
picture: pixel (row r, column c) is the square from (c, r) to (c + 1, r + 1). **A pixel belongs to
an outline if its centre (c + 1/2, r + 1/2) lies inside**, by the even-odd rule: a ray from the
centre to the left meets the outline an odd number of times. Polygons that share an edge therefore
share no pixel and leave none out between them.

Pillow's ``ImageDraw.polygon``, with which labelme itself draws, adds the pixels that the outline
runs through, so its objects are about half a pixel larger on every side.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["area", "fill_circle", "fill_polygon"]


def fill_polygon(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return which pixels' centres lie inside a polygon, by the even-odd rule.

    Each row of centres meets an edge at most once, at x: then all centres from x on to the right
    change sides. So an edge notes a change at one column of each row that it crosses, and the
    running "exclusive or" along each row counts whether the changes up to a centre are odd.

    Parameters
    ----------
    points : (n, 2) array of float
        x and y of the corners; the last is joined to the first. They may lie outside of the
        picture.
    height, width : int
        Of the picture.

    Returns
    -------
    (height, width) bool. Less than three corners enclose nothing.
    """
    pixels = np.zeros((height, width), bool)
    if len(points) < 3:
        return pixels
    # Only the part of the picture around the polygon is looked at.
    left, top = _nearest(points.min(axis=0), width, height)
    right, bottom = _nearest(points.max(axis=0), width, height)
    changes = np.zeros((bottom - top, right - left + 1), bool)
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        # Downwards whichever way it was drawn: the edge of two neighbours is the same for both.
        (x0, y0), (x1, y1) = (start, end) if start[1] <= end[1] else (end, start)
        # Centres r + 1/2 in [y0, y1), so that a corner counts for one of its two edges.
        first, last = max(math.ceil(y0 - 0.5), top), min(math.ceil(y1 - 0.5), bottom)
        if first < last:
            rows = np.arange(first, last)
            x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            columns = np.ceil((x - 0.5).clip(left, right)).astype(int)
            changes[rows - top, columns - left] ^= True
    odd = np.logical_xor.accumulate(changes, axis=1)
    pixels[top:bottom, left:right] = odd[:, :-1]
    return pixels


def _nearest(point: np.ndarray, width: int, height: int) -> tuple[int, int]:
    """Return which pixel's corner is the nearest whose centre may lie behind a point."""
    x, y = np.ceil(point - 0.5).clip(0, (width, height)).astype(int).tolist()
    return x, y


def fill_circle(centre: np.ndarray, rim: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return which pixels' centres lie in the circle around `centre` through the point `rim`.

    Parameters
    ----------
    centre, rim : (2,) array of float
        x and y.
    height, width : int
        Of the picture.

    Returns
    -------
    (height, width) bool.
    """
    dy = np.arange(height)[:, None] + 0.5 - centre[1]
    dx = np.arange(width) + 0.5 - centre[0]
    return dy**2 + dx**2 <= ((rim - centre) ** 2).sum()


def area(points: np.ndarray) -> float:
    """Return the area that a polygon without crossings encloses (Gauss's shoelace formula)."""
    x, y = (points - points[:1]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
