"""Images travel to the GPU as bytes, a quarter of their size as numbers, and are normalised there.

The operations are those of `data.transforms.Normalize` on the CPU, in their order: the same bits.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import device_guard
from minideconv.engine.cuda.module import launch
from minideconv.engine.layout import contiguous, from_channels_last

__all__ = ["Normalization", "normalize"]


class Normalization(Protocol):
    """What is done to a colour: `data.transforms.Normalize` has these."""

    mean: np.ndarray
    scale: float
    bgr: bool


@device_guard
def normalize(images: Array, normalization: Normalization) -> Array:
    """Normalise images: (N, H, W, 3) uint8 -> (N, 3, H, W) float32, channels last.

    Raises
    ------
    ValueError
        If `images` are no uint8 images with three colours side by side.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(
            f"images.normalize: images are {images.dtype} {images.shape}; they must be uint8"
            " (N, H, W, 3)"
        )
    out = get_xp(images).empty(images.shape, np.float32)
    numbers = (*normalization.mean, 1 / normalization.scale, normalization.bgr)
    launch("images.cu", "normalize", out.size, (contiguous(images), out, *numbers, out.size))
    return from_channels_last(out)
