"""Signals as pictures: projections in colour, saliency as heat, signs as blue and red, overlays.

All take what a signal is at the pixels and return (H, W, 3) uint8. A signal has no unit, so each
picture is scaled by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.data.resize import resize_image
from minideconv.visualize.boards import Image, heat

__all__ = ["heat_over", "magnitude_picture", "projection_picture", "signed_picture"]

_PERCENTILE = 99.5
"""Share of the values, in per cent, that are drawn in full; a few pixels would dim all others."""


def projection_picture(colours: npt.NDArray[Any]) -> Image:
    """Draw a signal at the three colours: (H, W, 3); zero is mid-grey."""
    level = colours / _largest(np.abs(colours))
    return _grey_levels(0.5 + 0.5 * level)


def magnitude_picture(colours: npt.NDArray[Any]) -> Image:
    """Draw how large a signal is: (H, W, 3), the largest absolute value of the three colours.

    Source: Simonyan, Vedaldi, Zisserman (2013), section 3.1.
    """
    size = np.abs(colours).max(axis=2)
    return heat(size / _largest(size))


def signed_picture(colours: npt.NDArray[Any]) -> Image:
    """Draw contributions, summed over the colours: (H, W, 3); for it red, against it blue."""
    total = colours.sum(axis=2)
    level = np.clip(total / _largest(np.abs(total)), -1, 1)[..., None]
    red, blue = np.array([178, 24, 43]), np.array([33, 102, 172])
    target = np.where(level > 0, red, blue)
    return _grey_levels((255 + np.abs(level) * (target - 255)) / 255)


def heat_over(picture: Image, level: npt.NDArray[Any]) -> Image:
    """Lay a coarse map (h, w) of values >= 0 over a picture, enlarged bilinearly."""
    peak = float(level.max())
    share = np.clip(level / peak if peak > 0 else level, 0, 1)
    grey = np.rint(255 * share).astype(np.uint8)
    smooth = resize_image(np.repeat(grey[..., None], 3, axis=2), picture.shape[:2])[..., 0]
    mixed = 0.5 * picture + 0.5 * heat(smooth / 255)
    return np.rint(mixed).astype(np.uint8)


def _largest(values: npt.NDArray[Any]) -> float:
    """Return what is drawn in full: a high percentile of the values that are not zero; > 0."""
    there = values[values > 0]
    return float(np.percentile(there, _PERCENTILE)) if there.size else 1.0


def _grey_levels(share: npt.NDArray[Any]) -> Image:
    return np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
