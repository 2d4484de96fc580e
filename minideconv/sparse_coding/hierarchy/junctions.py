r"""Whether units fire at corners and junctions, as numbers: on drawings where those are known.

A unit fires where its map is not 0; the place in the picture is the middle of what it would stamp
there (`centre`). Of all that it does on some drawings, weighed by |z|, a share lies within some
pixels of a corner or a junction. The control: the same activity, on points of the drawn lines
chosen at random, whose share is known without drawing lots. Their ratio, the *lift*, is 1 for a
unit that does not care.

How sure it is comes from the drawings, which are drawn again at random with replacement (bootstrap)
2000 times: a unit is *selective* if in all but 2.5 % of these its lift is above 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.backend import device_of, to_cpu, to_device
from minideconv.sparse_coding.hierarchy.contrast import prepared
from minideconv.sparse_coding.hierarchy.drawings import Drawing
from minideconv.sparse_coding.hierarchy.layer import Layer, find_maps, stamps

__all__ = [
    "MARGIN",
    "RADIUS",
    "Selectivity",
    "activity",
    "centre",
    "measure",
    "measure_layers",
    "near_places",
]

RADIUS = 3.0
"""Pixels."""
MARGIN = 6
"""Pixels at the border that do not count: what is behind it is not known."""
_INK = 0.5  # from here on a pixel is on a line
_RESAMPLES = 2000
_LOW = 0.025

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
    maps: npt.NDArray[Any], projections: npt.NDArray[Any], size: tuple[int, int]
) -> npt.NDArray[Any]:
    """Return |z| where the projection's middle is: (M, H + h - 1, W + w - 1) -> (M, H, W).

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
    placed = np.empty((count, height, width), maps.dtype)
    for m, (row, column) in enumerate(centre(projections)):
        # z[i, j] stamps the pixels from (i - h + 1, j - w + 1) on.
        top, left = h - 1 - row, w - 1 - column
        placed[m] = np.abs(maps[m, top : top + height, left : left + width])
    return placed


def near_places(drawing: Drawing, radius: float = RADIUS) -> npt.NDArray[np.bool_]:
    """Return which pixels are within `radius` of a corner or a junction: (H, W)."""
    near = np.zeros(drawing.image.shape, bool)
    rows, columns = np.indices(drawing.image.shape)
    for row, column in drawing.places:
        near |= np.hypot(rows - row, columns - column) <= radius
    return near


def measure(
    maps: Sequence[npt.NDArray[Any]], projections: npt.NDArray[Any], drawn: Sequence[Drawing]
) -> Selectivity:
    """Measure the units of one layer.

    Parameters
    ----------
    maps : sequence of array (M, H + h - 1, W + w - 1)
        Of each drawing.
    projections : array (M, 1, h, w)
        What a 1 in each map becomes in the picture.
    drawn : sequence of Drawing

    Raises
    ------
    ValueError
        If maps and drawings do not fit together.
    """
    near, everywhere = np.zeros((2, len(drawn), len(projections)))
    ink = np.zeros(len(drawn))
    for k, (drawing, found) in enumerate(zip(drawn, maps, strict=True)):
        height, width = drawing.image.shape
        inner = np.s_[MARGIN : height - MARGIN, MARGIN : width - MARGIN]
        close = near_places(drawing)[inner]
        line = (drawing.image > _INK)[inner]
        ink[k] = close[line].mean() if line.any() else 0
        active = activity(found, projections, (height, width))[(slice(None), *inner)]
        near[k], everywhere[k] = active[:, close].sum(axis=1), active.sum(axis=(1, 2))
    return _selectivity(near, everywhere, ink)


def measure_layers(
    layers: Sequence[Layer], drawn: Sequence[Drawing], betas: Sequence[float]
) -> tuple[list[Selectivity], npt.NDArray[Any]]:
    """Find the maps of drawings, layer by layer, and measure each; return the last maps, too.

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
    for number in range(1, len(layers) + 1):
        inputs = find_maps(layers[number - 1 : number], inputs, betas)
        found.append(measure(list(to_cpu(inputs)), to_cpu(stamps(layers[:number])), drawn))
    return found, to_cpu(inputs)


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
    fires = np.isfinite(lift)
    if not fires.any():
        nan = float("nan")
        return Selectivity(share, control, lift, np.full(len(lift), nan), nan, nan, nan)
    low = np.full(len(lift), np.nan)
    # A unit that is silent in a resampled set says nothing there: the most cautious value, 0.
    low[fires] = np.quantile(np.nan_to_num(again[:, fires], nan=0.0), _LOW, axis=0)
    with np.errstate(invalid="ignore"):
        means = np.nanmean(again[:, fires], axis=1)
    low_mean, high_mean = np.nanquantile(means, (_LOW, 1 - _LOW))
    return Selectivity(
        share, control, lift, low, float(lift[fires].mean()), float(low_mean), float(high_mean)
    )
