r"""Local contrast normalisation: each pixel relative to its neighbourhood, as the eye sees it.

With G a Gaussian mean around a pixel, sigma pixels wide:

    v = s - G s                         what differs from the neighbourhood's mean
    y = v / max(d, mean d)              d = sqrt(G v^2), the neighbourhood's contrast

so that strong and faint lines count alike, and the noise of flat parts is not blown up.

Source: Jarrett, Kavukcuoglu, Ranzato, LeCun, "What is the best multi-stage architecture for object
recognition?" (ICCV 2009), section 2; Zeiler et al. (CVPR 2010), section 3.3, use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SIGMA", "normalize_contrast", "prepared"]

SIGMA = 3.0
"""Of the Gaussian, in pixels; it reaches to twice as many (13 x 13, as the authors' toolbox)."""


def normalize_contrast(image: npt.NDArray[Any], sigma: float = SIGMA) -> npt.NDArray[np.float64]:
    """Return y: (..., H, W) -> (..., H, W) in float64; a picture of one value becomes 0.

    Every picture and channel by itself; the borders are continued by their mirror image.

    Raises
    ------
    ValueError
        If sigma is not above 0.
    """
    if not 0 < sigma < float("inf"):
        raise ValueError(f"normalize_contrast: sigma is {sigma}; it must be a number above 0")
    image = np.asarray(image, np.float64)
    rough = image - _mean(image, sigma)
    # What is left of a flat picture is rounding, not contrast.
    rough[abs(rough) < 1e-9] = 0
    contrast = np.sqrt(_mean(rough * rough, sigma))
    floor = contrast.mean(axis=(-2, -1), keepdims=True)
    return rough / np.maximum(contrast, floor + (floor == 0))


def _mean(image: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
    """Return Gaussian means, one axis after the other."""
    reach = max(1, round(2 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (-2, -1):
        widths = [(0, 0)] * image.ndim
        widths[axis] = (reach, reach)
        padded = np.pad(image, widths, mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis=axis)
        image = windows @ weights
    return image


def prepared(images: Sequence[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    """Return grey images (H, W) of one size as the first layer takes them: (N, 1, H, W)."""
    return np.stack([normalize_contrast(image) for image in images])[:, None].astype(dtype)
