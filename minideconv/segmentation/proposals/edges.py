r"""Edges of a photograph: how strong and which way, one pixel wide.

With the image smoothed by a Gaussian and its gradient g_c in each colour channel, the structure
tensor sums over the channels and a small neighbourhood

    J = G * \sum_c g_c g_c^T ,          eigenvalues l_1 >= l_2

The eigenvector of l_1 points across the edge. Where the neighbourhood has one direction, as along
an outline, l_2 is small; in texture and at corners it is not. So the strength is

    s = sqrt(l_1) - sqrt(l_2)

divided by its mean over a wide neighbourhood, so that an outline in the dark counts as one in the
light. Non-maximum suppression keeps the pixels that are the strongest across their edge.

Sources: Di Zenzo, "A note on the gradient of a multi-image" (1986); Canny, "A computational
approach to edge detection" (1986) for the suppression.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minideconv.errors import UsageError
from minideconv.segmentation.proposals.boxes import check_image

__all__ = ["EdgeMap", "edge_map", "non_maximum_suppression"]

Floats = npt.NDArray[Any]


class EdgeMap(NamedTuple):
    """The edges of an image.

    Attributes
    ----------
    strength : (H, W) float array in [0, 1]
        0 where there is no edge.
    orientation : (H, W) float array in [0, pi)
        The direction *along* the edge: 0 is horizontal, pi/4 goes right and down.
    """

    strength: Floats
    orientation: Floats


def edge_map(
    image: npt.NDArray[np.uint8], sigma: float = 1.0, neighbourhood: float = 1.5
) -> EdgeMap:
    """Find the edges of an image.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB, at least 2 pixels high and wide.
    sigma : float
        Standard deviation, in pixels, of the smoothing of the image; positive.
    neighbourhood : float
        Standard deviation, in pixels, of the smoothing of the structure tensor; positive.

    Returns
    -------
    EdgeMap
        Thinned: see `non_maximum_suppression`.

    Raises
    ------
    UsageError (a ValueError)
        If the image is no such array, or a standard deviation is not positive.

    Examples
    --------
    >>> image = np.zeros((20, 20, 3), np.uint8)
    >>> image[:, 10:] = 200
    >>> edges = edge_map(image)
    >>> np.flatnonzero(edges.strength[5] > 0.1), round(float(edges.orientation[5, 9]), 2)
    (array([9]), 1.57)
    """
    check_image(image, "edge_map")
    for name, value in (("sigma", sigma), ("neighbourhood", neighbourhood)):
        if not 0 < value < np.inf:
            raise UsageError(f"edge_map: {name} is {value}; it must be greater than 0 pixels")
    smooth = _smoothed(image.transpose(2, 0, 1).astype(np.float64) / 255, sigma)
    dy, dx = np.gradient(smooth, axis=(1, 2))
    xx, xy, yy = _smoothed(
        np.stack([(dx * dx).sum(0), (dx * dy).sum(0), (dy * dy).sum(0)]), neighbourhood
    )
    spread = np.hypot(xx - yy, 2 * xy)
    larger, smaller = (xx + yy + spread) / 2, np.maximum(xx + yy - spread, 0) / 2
    strength = np.sqrt(larger) - np.sqrt(smaller)
    strength = _balanced(strength)
    orientation = (np.arctan2(2 * xy, xx - yy) / 2 + np.pi / 2) % np.pi
    return EdgeMap(non_maximum_suppression(strength, orientation), orientation)


def _balanced(strength: Floats, reach: float = 0.05, floor: float = 0.01) -> Floats:
    """Divide by the mean strength around each pixel, and bring the result into [0, 1].

    `reach` is the neighbourhood's standard deviation as a share of the longer side; a mean below
    `floor` counts as `floor`, or noise in an empty sky would become edges.
    """
    around = _smoothed(strength[None], max(2.0, reach * max(strength.shape)))[0]
    return np.minimum(strength / (3 * (around + floor)), 1.0)


def non_maximum_suppression(strength: Floats, orientation: Floats) -> Floats:
    """Set to 0 every pixel that one of its two neighbours across the edge exceeds.

    The neighbours lie one pixel away, between pixels: their strength is interpolated bilinearly.
    Outside the image it is that of the border. Of equal ones the right or lower stays out, so that
    an edge between two equal pixels is one pixel wide.

    Parameters
    ----------
    strength : (H, W) float array
    orientation : (H, W) float array, radians
        Along the edge.

    Returns
    -------
    (H, W) float array
    """
    across_y, across_x = np.cos(orientation), -np.sin(orientation)
    margin = 1e-9  # rounding alone must not decide, neither the direction nor between equal pixels
    lower = (across_y < -margin) | ((np.abs(across_y) <= margin) & (across_x < 0))
    across_y, across_x = np.where(lower, -across_y, across_y), np.where(lower, -across_x, across_x)
    y, x = np.indices(strength.shape, np.float64)
    before = _sampled(strength, y - across_y, x - across_x)
    after = _sampled(strength, y + across_y, x + across_x)
    kept = (strength > before + margin) & (strength >= after - margin)
    return np.where(kept, strength, 0.0)


def _sampled(plane: Floats, y: Floats, x: Floats) -> Floats:
    """Return a plane's values between pixels, bilinearly, clamped at its borders."""
    height, width = plane.shape
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    y0 = np.minimum(y.astype(np.intp), height - 2)
    x0 = np.minimum(x.astype(np.intp), width - 2)
    dy, dx = y - y0, x - x0
    flat, corner = plane.ravel(), y0 * width + x0
    top = flat[corner] * (1 - dx) + flat[corner + 1] * dx
    bottom = flat[corner + width] * (1 - dx) + flat[corner + width + 1] * dx
    return top * (1 - dy) + bottom * dy


def _smoothed(planes: Floats, sigma: float) -> Floats:
    """Convolve (C, H, W) with a Gaussian of `sigma` pixels; the border's pixels go on outside."""
    reach = max(1, int(3 * sigma + 0.5))
    for axis in (1, 2):
        size = planes.shape[axis]
        offsets = np.arange(-reach, reach + 1)
        taps = np.exp(-0.5 * (offsets / sigma) ** 2)
        taps /= taps.sum()
        # A banded matrix for one axis: a product instead of a loop over many taps.
        matrix = np.zeros((size, size))
        columns = np.clip(np.arange(size)[:, None] + offsets, 0, size - 1)
        np.add.at(matrix, (np.arange(size)[:, None], columns), taps)
        planes = planes @ matrix.T if axis == 2 else matrix @ planes
    return planes
