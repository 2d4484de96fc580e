"""Weights of the classes in the loss, from their shares of the training pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["class_weights"]


def class_weights(data: Any, num_classes: int, power: float) -> np.ndarray:
    """Return ``w_c = a * share_c ** -power``, float32 (num_classes,).

    ``share_c`` is the share of class c in all pixels that are not void, and ``a`` makes the mean
    weight of a pixel 1, so that a learning rate means the same with and without weights. A class
    that the data does not show has the largest weight of the others.

    Parameters
    ----------
    data : dataset
        Of pairs of an image and a label map (H, W) uint8, or with a method ``mask(index)``.
    num_classes : int
    power : float
        0: all weights are 1; 1: all classes together weigh the same.
    """
    counts = np.zeros(256, np.int64)
    for index in range(len(data)):
        mask = data.mask(index) if hasattr(data, "mask") else data[index][1]
        counts += np.bincount(np.asarray(mask).ravel(), minlength=256)
    counts = counts[:num_classes]
    shares = counts / max(1, counts.sum())
    weights = np.ones(num_classes)
    seen = shares > 0
    if seen.any():
        weights[seen] = shares[seen] ** -power
        weights[~seen] = weights[seen].max()
        weights /= (weights * shares).sum()
    return weights.astype(np.float32)
