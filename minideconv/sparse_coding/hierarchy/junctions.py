r"""Whether units fire at corners and junctions, as numbers: on drawings where those are known.

A unit fires where its map is not 0; its place in the picture is one point of what it would stamp
there: the middle (`centre`), the vertex of the shape that its projection looks like (`shapes`), or
the point with the largest lift on other drawings (`fit_points`). Of all that it does on some
drawings, weighed by |z|, a share lies within some pixels of a corner or a junction. The control:
the same activity, on points of the drawn lines chosen at random, whose share is known without
drawing lots. Their ratio, the *lift*, is 1 for a unit that does not care.

How sure it is comes from the drawings, which are drawn again at random with replacement (bootstrap)
2000 times: a unit is *selective* if in all but 2.5 % of these its lift is above 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.backend import device_of, to_cpu, to_device
from minideconv.sparse_coding.hierarchy.contrast import prepared
from minideconv.sparse_coding.hierarchy.drawings import Drawing
from minideconv.sparse_coding.hierarchy.layer import Layer, find_maps

__all__ = [
    "MARGIN",
    "RADIUS",
    "Selectivity",
    "activity",
    "centre",
    "drawing_maps",
    "fit_points",
    "measure",
    "near_places",
]

RADIUS = 3.0
"""Pixels."""
MARGIN = 6
"""Pixels at the border that do not count: what is behind it is not known."""
_INK = 0.5  # from here on a pixel is on a line
_RESAMPLES = 2000
_LOW = 0.025
_REACH = 6  # of `fit_points`

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Selectivity:
    """What `measure` found of a layer's units.

    Attributes
    ----------
    share, control : array (M,)
        Of a unit's activity, what lies near a place; of as much on random points of lines.
    lift : array (M,)
        Their ratio; NaN for a unit that never fires.
    low : array (M,)
        Below it the lift of 2.5 % of the resampled sets of drawings lies.
    mean, mean_low, mean_high : float
        The mean lift of units that fire, and its 95 % interval.
    """

    share: Floats
    control: Floats
    lift: Floats
    low: Floats
    mean: float
    mean_low: float
    mean_high: float

    @property
    def firing(self) -> int:
        """How many units fire at all."""
        return int(np.isfinite(self.lift).sum())

    @property
    def selective(self) -> npt.NDArray[np.bool_]:
        """Which units fire near places more than by chance: (M,)."""
        return np.asarray(self.low > 1)


def centre(projections: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the middle of each projection's squares: (M, C, h, w) -> (M, 2), row and column."""
    weight = (projections.astype(np.float64) ** 2).sum(axis=1)
    total = np.maximum(weight.sum(axis=(1, 2)), np.finfo(float).tiny)
    rows = weight.sum(axis=2) @ np.arange(projections.shape[2]) / total
    columns = weight.sum(axis=1) @ np.arange(projections.shape[3]) / total
    return np.rint(np.stack([rows, columns], axis=1)).astype(np.int64)


def activity(
    maps: npt.NDArray[Any],
    projections: npt.NDArray[Any],
    size: tuple[int, int],
    points: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[Any]:
    """Return |z| where a point of the projection is: (M, H + h - 1, W + w - 1) -> (M, H, W).

    Parameters
    ----------
    maps : array (M, H + h - 1, W + w - 1)
    projections : array (M, C, h, w)
    size : (int, int)
        H and W.
    points : array (M, 2), optional
        Row and column of each, from the projection's upper left pixel; it may be outside. Left
        out: `centre`.

    Raises
    ------
    ValueError
        If maps, projections and the picture's size do not fit together.
    """
    (count, _, h, w), (height, width) = projections.shape, size
    if maps.shape != (count, height + h - 1, width + w - 1):
        raise ValueError(
            f"activity: maps have shape {maps.shape}; a picture of {height}x{width} and {count}"
            f" projections of {h}x{w} have {(count, height + h - 1, width + w - 1)}"
        )
    points = centre(projections) if points is None else points
    placed = np.zeros((count, height, width), maps.dtype)
    for m, point in enumerate(points):
        # z[i, j] stamps the pixels from (i - h + 1, j - w + 1) on.
        top, left = h - 1 - int(point[0]), w - 1 - int(point[1])
        part = maps[m, max(top, 0) : top + height, max(left, 0) : left + width]
        rows, columns = max(-top, 0), max(-left, 0)
        placed[m, rows : rows + part.shape[0], columns : columns + part.shape[1]] = np.abs(part)
    return placed


def near_places(
    drawing: Drawing, radius: float = RADIUS, kind: str | None = None
) -> npt.NDArray[np.bool_]:
    """Return which pixels are within `radius` of a corner or a junction, of a kind: (H, W)."""
    near = np.zeros(drawing.image.shape, bool)
    rows, columns = np.indices(drawing.image.shape)
    for (row, column), what in zip(drawing.places, drawing.kinds, strict=True):
        if kind in (None, what):
            near |= np.hypot(rows - row, columns - column) <= radius
    return near


def fit_points(
    maps: Sequence[npt.NDArray[Any]], projections: npt.NDArray[Any], drawn: Sequence[Drawing]
) -> npt.NDArray[np.int64]:
    """Return the point of each unit whose lift on these drawings is largest: (M, 2).

    Of all points at most 6 rows and columns from the middle, which is that of a silent unit. To
    measure with it, take other drawings: on these, chance alone makes the lift larger than 1.

    Parameters
    ----------
    maps, projections, drawn
        As of `measure`.
    """
    middle = centre(projections)
    points, best = middle.copy(), np.full(len(middle), -1.0)
    areas, ink = _areas(drawn, None)
    steps = range(-_REACH, _REACH + 1)
    for shift in sorted(product(steps, steps), key=lambda s: np.hypot(*s)):
        near, everywhere = _tally(maps, projections, drawn, areas, middle + shift)
        with np.errstate(invalid="ignore", divide="ignore"):
            lift = near.sum(axis=0) / (everywhere * ink[:, None]).sum(axis=0)
        better = np.nan_to_num(lift, nan=-1.0) > best
        best[better], points[better] = lift[better], (middle + shift)[better]
    return points


def measure(
    maps: Sequence[npt.NDArray[Any]],
    projections: npt.NDArray[Any],
    drawn: Sequence[Drawing],
    points: npt.NDArray[np.int64] | None = None,
    kind: str | None = None,
) -> Selectivity:
    """Measure the units of one layer.

    Parameters
    ----------
    maps : sequence of array (M, H + h - 1, W + w - 1)
        Of each drawing.
    projections : array (M, 1, h, w)
        What a 1 in each map becomes in the picture.
    drawn : sequence of Drawing
    points : array (M, 2), optional
        Where in its projection a unit's place is, as `activity` takes it.
    kind : str, optional
        One of `drawings.KINDS`: places of this kind alone.

    Raises
    ------
    ValueError
        If maps and drawings do not fit together.
    """
    points = centre(projections) if points is None else points
    areas, ink = _areas(drawn, kind)
    return _selectivity(*_tally(maps, projections, drawn, areas, points), ink)


def drawing_maps(
    layers: Sequence[Layer], drawn: Sequence[Drawing], betas: Sequence[float]
) -> list[npt.NDArray[Any]]:
    """Return the maps of every layer, from the first on, each (N, M, H + h - 1, W + w - 1).

    Parameters
    ----------
    layers : sequence of Layer
    drawn : sequence of Drawing
    betas : sequence of float
        Of the continuation.
    """
    filters = layers[0].filters
    inputs = to_device(prepared([one.image for one in drawn], filters.dtype), device_of(filters))
    found = []
    for layer in layers:
        inputs = find_maps([layer], inputs, betas)
        found.append(to_cpu(inputs))
    return found


def _areas(
    drawn: Sequence[Drawing], kind: str | None
) -> tuple[list[npt.NDArray[np.bool_]], Floats]:
    """Return what is near places, inside of the margin, and its share of the lines' pixels."""
    areas, ink = [], np.zeros(len(drawn))
    for k, drawing in enumerate(drawn):
        inner = _inner(drawing)
        areas.append(near_places(drawing, kind=kind)[inner])
        line = (drawing.image > _INK)[inner]
        ink[k] = areas[-1][line].mean() if line.any() else 0
    return areas, ink


def _tally(
    maps: Sequence[npt.NDArray[Any]],
    projections: npt.NDArray[Any],
    drawn: Sequence[Drawing],
    areas: Sequence[npt.NDArray[np.bool_]],
    points: npt.NDArray[np.int64],
) -> tuple[Floats, Floats]:
    """Return the activity near places, and all of it: both (N, M)."""
    near, everywhere = np.zeros((2, len(drawn), len(projections)))
    for k, (drawing, close, found) in enumerate(zip(drawn, areas, maps, strict=True)):
        placed = activity(found, projections, drawing.image.shape, points)
        active = placed[(slice(None), *_inner(drawing))]
        near[k], everywhere[k] = active[:, close].sum(axis=1), active.sum(axis=(1, 2))
    return near, everywhere


def _inner(drawing: Drawing) -> tuple[slice, slice]:
    height, width = drawing.image.shape
    return np.s_[MARGIN : height - MARGIN, MARGIN : width - MARGIN]


def _selectivity(near: Floats, everywhere: Floats, ink: Floats) -> Selectivity:
    """Return shares, lifts and how sure they are: (drawings, M), (drawings, M), (drawings,)."""
    expected = everywhere * ink[:, None]
    rng = np.random.default_rng(0)
    drawings = len(ink)
    counts = rng.multinomial(drawings, np.full(drawings, 1 / drawings), _RESAMPLES).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = everywhere.sum(axis=0)
        share, control = near.sum(axis=0) / total, expected.sum(axis=0) / total
        lift = share / control
        again = (counts @ near) / (counts @ expected)  # (resamples, M)
    again[~np.isfinite(again)] = np.nan
    fires = np.isfinite(lift)
    if not fires.any():
        nan = float("nan")
        return Selectivity(share, control, lift, np.full(len(lift), nan), nan, nan, nan)
    low = np.full(len(lift), np.nan)
    # A unit that is silent in a resampled set says nothing there: the most cautious value, 0.
    low[fires] = np.quantile(np.nan_to_num(again[:, fires], nan=0.0), _LOW, axis=0)
    with np.errstate(invalid="ignore"):
        means = np.nansum(again[:, fires], axis=1) / np.isfinite(again[:, fires]).sum(axis=1)
    low_mean, high_mean = np.nanquantile(means, (_LOW, 1 - _LOW))
    return Selectivity(
        share, control, lift, low, float(lift[fires].mean()), float(low_mean), float(high_mean)
    )
