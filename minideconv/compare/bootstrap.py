r"""Which differences of mean IoU are more than chance: a paired bootstrap over images.

Image i = 1..n has under row r the confusion matrix N_i^r (C, C), of which the mean IoU of the whole
list is m(N^r) with N^r = \sum_i N_i^r. One resample draws n images with replacement, image i being
drawn w_i times, and computes the difference of two rows on the same images:

    d(w) = m(\sum_i w_i N_i^a) - m(\sum_i w_i N_i^b)

The interval holds the middle 95 % of d over many w (the percentile interval). Mean IoU is computed
anew from the summed matrices, because it is no mean over images; and both rows see the same draw,
because what is hard in an image is hard for both: what a draw changes in both cancels. A class that
no drawn image shows is left out of both means alike, unless a row predicts it.

With several seeds s = 1..S, whose networks are trained apart and evaluated on the same images, m is
the mean over the seeds: the interval is about other images, not about other seeds.

Source: Efron, Tibshirani, "An introduction to the bootstrap" (1993), sections 8 and 13.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.segmentation.metrics import class_ious

__all__ = ["Interval", "mean_iou", "paired_difference"]

RESAMPLES, CONFIDENCE = 2000, 0.95

_AT_ONCE = 2**22  # numbers in the matrices of the resamples that are computed together


@dataclass(frozen=True)
class Interval:
    """A difference, and where it lies with the confidence asked for."""

    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Which way the rows differ: "higher", "lower", or "not decided" where 0 is inside."""
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "not decided"


def paired_difference(
    a: npt.NDArray[Any],
    b: npt.NDArray[Any],
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Return the mean IoU of row a less that of row b, with its interval.

    Parameters
    ----------
    a, b : (n, C, C) or (S, n, C, C) integer array
        The confusion matrix of each image, in the same order in both; of S seeds.
    resamples : int
        How many draws, at least 1. Two calls with the same seed and number of images draw alike.
    confidence : float
        In (0, 1).
    seed : int

    Raises
    ------
    ValueError
        If the shapes differ or are not as above, there is no image, or a number is out of range.
    """
    if a.shape != b.shape or a.ndim not in (3, 4) or a.shape[-1] != a.shape[-2]:
        raise ValueError(
            f"paired_difference: a has shape {a.shape} and b {b.shape}; both must be (images,"
            " classes, classes), or (seeds, images, classes, classes), of the same images"
        )
    if 0 in a.shape:
        raise ValueError(f"paired_difference: a has shape {a.shape}; there must be an image")
    if resamples < 1:
        raise ValueError(f"paired_difference: resamples is {resamples}; it must be at least 1")
    if not 0 < confidence < 1:
        raise ValueError(f"paired_difference: confidence is {confidence}; it must be in (0, 1)")
    images = a.shape[-3]
    found = np.concatenate(
        [
            mean_iou(a, weights) - mean_iou(b, weights)
            for weights in _draws(images, resamples, seed, max(1, _AT_ONCE // a[..., 0, :, :].size))
        ]
    )
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(found, [tail, 1 - tail])
    once = np.ones((1, images))
    return Interval(float((mean_iou(a, once) - mean_iou(b, once))[0]), float(low), float(high))


def mean_iou(counts: npt.NDArray[Any], weights: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the mean IoU of the images, counted so often, and averaged over seeds.

    Parameters
    ----------
    counts : (n, C, C) or (S, n, C, C) array
    weights : (B, n) array
        How often each image counts in each of B sums.

    Returns
    -------
    (B,) array
        NaN where nothing was counted.
    """
    *seeds, images, rows, columns = counts.shape
    flat = counts.reshape(*seeds, images, rows * columns).astype(np.float64)
    sums = np.matmul(weights, flat).reshape(*seeds, len(weights), rows, columns)
    ious = class_ious(sums)
    known = ~np.isnan(ious)
    number = known.sum(axis=-1)
    means = np.where(known, ious, 0.0).sum(axis=-1) / np.where(number, number, np.nan)
    return means.mean(axis=0) if seeds else means


def _draws(images: int, resamples: int, seed: int, most: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield how often each image is drawn in each resample, `most` resamples at a time."""
    rng = np.random.default_rng(seed)
    even = np.full(images, 1 / images)
    for start in range(0, resamples, most):
        yield rng.multinomial(images, even, min(most, resamples - start))
