"""The picture on which the dense CRF is timed; without Pillow, which a GPU machine may lack."""

from __future__ import annotations

import numpy as np

__all__ = ["CLASSES", "picture"]

CLASSES = 21


def picture(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return coarse probabilities (21, H, W), and an image of coloured rectangles with noise."""
    rng = np.random.default_rng(0)
    y, x = (np.linspace(0, 7, n).astype(int) for n in (height, width))
    scores = rng.standard_normal((CLASSES, 8, 8))[:, y][:, :, x] * 2
    image = rng.integers(0, 256, (8, 8, 3))[y][:, x] + rng.normal(0, 10, (height, width, 3))
    p = np.exp(scores + 0.3 * rng.standard_normal(scores.shape))
    return (p / p.sum(axis=0)).astype(np.float32), np.clip(image, 0, 255).astype(np.uint8)
