r"""Groups of edge pixels, and how likely two groups are parts of one outline.

A group is a nearly straight piece of an edge. It grows from one pixel: again and again the adjacent
edge pixel whose orientation differs least joins, until the differences sum to more than pi/2.
Pixels of groups that are too weak go over to the neighbour group that they fit best.

Between two groups i and j at most 2 pixels apart, with the mean positions x_i and x_j, the mean
orientations t_i and t_j, and t_ij the direction of the line from x_i to x_j, the affinity is

    a(i, j) = |cos(t_i - t_ij) cos(t_j - t_ij)| ^ gamma

1 if both lie on one line, 0 at a right angle.

Source: Zitnick, Dollar, "Edge Boxes: locating object proposals from edges" (ECCV 2014), section
3.1.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.backend.algorithms import compiled
from minideconv.backend.dispatch import accelerated
from minideconv.segmentation.proposals.edges import EdgeMap

__all__ = ["CUT", "EdgeGroups", "edge_groups"]

Floats = npt.NDArray[Any]
Integers = npt.NDArray[Any]

LEAST_EDGE = 0.1  # strength from which a pixel is an edge
LEAST_GROUP = 0.5  # sum of strengths that a group must exceed
TURN = np.pi / 2  # radians
RADIUS = 2  # pixels between two groups that may be one outline
CUT = 0.05  # affinities, and products of them, below this count as 0
FREE, NONE = -1, -2  # labels of an edge pixel without a group, and of a pixel without an edge

_AROUND = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


@dataclass(frozen=True, eq=False)
class EdgeGroups:
    """The groups of an edge map; G of them.

    Attributes
    ----------
    labels : (H, W) int32 array
        The group of each pixel, 0 to G - 1; negative where there is none.
    strength : (H, W) float64 array
        Of the pixels in groups, 0 elsewhere.
    magnitude : (G,) float64 array
        Sums of the strengths.
    x, y : (G,) int32 arrays
        The pixel of the group that is nearest to its mean position.
    orientation : (G,) float64 array in [0, pi)
    first, neighbour, affinity : (G + 1,) int32, (P,) int32 and (P,) float64 arrays
        The groups that group g has an affinity to are ``neighbour[first[g]:first[g + 1]]``.
    """

    labels: Integers
    strength: Floats
    magnitude: Floats
    x: Integers
    y: Integers
    orientation: Floats
    first: Integers
    neighbour: Integers
    affinity: Floats


def edge_groups(edges: EdgeMap, gamma: float = 2.0) -> EdgeGroups:
    """Group the pixels of an edge map.

    Parameters
    ----------
    edges : EdgeMap
        Thin edges.
    gamma : float
        How fast the affinity falls with the angle.
    """
    strength = np.ascontiguousarray(edges.strength, np.float64)
    orientation = np.ascontiguousarray(edges.orientation, np.float64)
    # The outermost pixels are no edges: an outline that leaves the image is not cut by the side of
    # a box that lies there. Also no pixel of an edge then has a neighbour outside the image.
    strength = np.pad(strength[1:-1, 1:-1], 1)
    labels = _merged(_grown(strength, orientation, LEAST_EDGE, TURN), strength, orientation)
    inside = labels >= 0
    numbers, of_pixel = np.unique(labels[inside], return_inverse=True)
    labels = np.full(strength.shape, FREE, np.int32)
    labels[inside] = of_pixel
    count, weight = len(numbers), strength[inside]

    def summed(values: Floats) -> Floats:
        return np.bincount(of_pixel, weight * values, count)

    rows, columns = np.nonzero(inside)
    magnitude = summed(np.ones(len(rows)))
    x, y = summed(columns) / magnitude, summed(rows) / magnitude
    distance = np.hypot(columns - x[of_pixel], rows - y[of_pixel])
    order = np.lexsort((distance, of_pixel))
    middle = order[np.searchsorted(of_pixel[order], np.arange(count))]
    # The mean of directions that are equal modulo pi: double the angles.
    twice = 2 * orientation[inside]
    mean = np.arctan2(summed(np.sin(twice)), summed(np.cos(twice))) / 2 % np.pi
    one, other = _near(labels, count)
    between = np.arctan2(y[other] - y[one], x[other] - x[one])
    affinity = np.abs(np.cos(mean[one] - between) * np.cos(mean[other] - between)) ** gamma
    kept = affinity > CUT
    one, other, affinity = one[kept], other[kept], affinity[kept]
    order = np.argsort(one, kind="stable")
    first = np.searchsorted(one[order], np.arange(count + 1)).astype(np.int32)
    return EdgeGroups(
        labels, np.where(inside, strength, 0.0), magnitude,
        columns[middle].astype(np.int32), rows[middle].astype(np.int32), mean,
        first, other[order].astype(np.int32), affinity[order],
    )  # fmt: skip


@accelerated
def _grown(strength: Floats, orientation: Floats, least: float, turn: float) -> Integers:
    """Return the group of each pixel of a framed map, (H, W) int32, or NONE."""
    width = strength.shape[1]
    labels = np.where(strength > least, FREE, NONE).astype(np.int32)
    flat, angle = labels.ravel(), orientation.ravel()
    steps = [dy * width + dx for dy, dx in _AROUND]
    group = 0
    for seed in np.flatnonzero(flat == FREE):
        if flat[seed] != FREE:
            continue
        frontier: list[tuple[float, int, int]] = []  # difference, order of arrival, pixel
        pixel, turned, arrived = int(seed), 0.0, 0
        flat[pixel] = group
        while turned <= turn:
            for step in steps:
                if flat[pixel + step] == FREE:
                    difference = abs(angle[pixel] - angle[pixel + step])
                    difference = min(difference, np.pi - difference)
                    heapq.heappush(frontier, (difference, arrived, pixel + step))
                    arrived += 1
            while frontier and flat[frontier[0][2]] != FREE:  # has joined from another side
                heapq.heappop(frontier)
            if not frontier:
                break
            difference, _, pixel = heapq.heappop(frontier)
            flat[pixel] = group
            turned += difference
        group += 1
    return labels


@_grown.faster("cpu")
def _grown_compiled(
    strength: Floats, orientation: Floats, least: float, turn: float
) -> Integers | None:
    if not compiled():
        return None
    from minideconv.engine.cpu.compiled.edge_boxes import grow

    labels = np.where(strength > least, FREE, NONE).astype(np.int32)
    grow(labels, orientation, turn)
    return labels


def _merged(labels: Integers, strength: Floats, orientation: Floats) -> Integers:
    """Hand the pixels of weak groups over to their neighbours; those without one are dropped."""
    edge = labels >= 0
    magnitude = np.bincount(labels[edge], strength[edge])
    labels = labels.copy()
    labels[edge] = np.where(magnitude > LEAST_GROUP, np.arange(len(magnitude)), FREE)[labels[edge]]
    flat, angle, width = labels.ravel(), orientation.ravel(), labels.shape[1]
    steps = np.array([dy * width + dx for dy, dx in _AROUND])
    while True:
        free = np.flatnonzero(flat == FREE)
        around = free[:, None] + steps
        difference = np.abs(angle[free][:, None] - angle[around])
        difference = np.minimum(difference, np.pi - difference)
        difference = np.where(flat[around] >= 0, difference, np.inf)
        best = difference.argmin(axis=1)
        found = np.isfinite(difference[np.arange(len(free)), best])
        if not found.any():
            return labels
        flat[free[found]] = flat[around[found, best[found]]]


def _near(labels: Integers, count: int) -> tuple[Integers, Integers]:
    """Return all pairs of groups with pixels at most RADIUS apart, in each of both orders."""
    height, width = labels.shape
    keys = [np.zeros(0, np.int64)]
    for dy in range(RADIUS + 1):
        for dx in range(-RADIUS if dy else 1, RADIUS + 1):
            one = labels[: height - dy, max(0, -dx) : width - max(0, dx)]
            other = labels[dy:, max(0, dx) : width - max(0, -dx)]
            pair = (one >= 0) & (other >= 0) & (one != other)
            a, b = one[pair].astype(np.int64), other[pair].astype(np.int64)
            keys += [a * count + b, b * count + a]
    return np.divmod(np.unique(np.concatenate(keys)), max(1, count))
