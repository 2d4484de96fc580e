r"""How well objects of different sizes are found: mean IoU of small, medium and large objects.

An object is a 4-connected region of one class (not the background) in the truth; its size is its
share of the image, because a network sees the image at its own input size:

    small  below 1 %        medium  from 1 % to below 10 %        large  10 % and more

Regions below 0.1 % are specks, often of masks drawn by hand or by a program, and are not counted.
For an object o of class c let P_o be the pixels predicted as c in predicted regions (4-connected,
of class c) that share a pixel with o, without pixels of other true objects of class c. Then

    IoU(o) = |o \cap P_o| / |o \cup P_o|

void pixels not counted, and the metric of a size is the mean over its objects. An object that is
not found at all has IoU 0. A predicted region that touches no object of its class has no size and
is not counted here; it lowers the mean IoU of all pixels.

Source: the sizes are those by which Noh, Hong, Han (ICCV 2015), Figure 1, find fault with FCN:
large objects fall apart, small ones are missed. The definition is this project's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.data.components import regions
from minideconv.data.voc_colors import VOID

__all__ = ["SIZES", "SizeIoU", "object_ious"]

SPECK = 0.001
SIZES = {"small": 0.01, "medium": 0.1, "large": float("inf")}
"""The share of the image below which an object counts as of that size."""


class SizeIoU:
    """Numbers of objects, and the sums of their IoUs, by size."""

    def __init__(self) -> None:
        self.objects = dict.fromkeys(SIZES, 0)
        self.sums = dict.fromkeys(SIZES, 0.0)

    def update(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> None:
        """Count an image's objects; both (H, W) integers, 0 is the background."""
        for share, iou in object_ious(truth, prediction):
            size = next(name for name, limit in SIZES.items() if share < limit)
            self.objects[size] += 1
            self.sums[size] += iou

    @property
    def mean_iou(self) -> dict[str, float]:
        """By size; NaN where there was no object."""
        return {
            size: self.sums[size] / count if count else float("nan")
            for size, count in self.objects.items()
        }


def object_ious(truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> list[tuple[float, float]]:
    """Return each true object's share of the image and its IoU, largest first.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if truth.shape != prediction.shape or truth.ndim != 2:
        raise ValueError(
            f"object_ious: truth has shape {truth.shape} and prediction {prediction.shape}; they"
            " must be equal, (H, W)"
        )
    objects, counted = regions(truth), truth != VOID
    # Void pixels join what is predicted on both sides of them; they are left out afterwards.
    predicted = regions(prediction)
    found = []
    for number, area in enumerate(np.bincount(objects.ravel())[1:], 1):
        if area < SPECK * truth.size:
            break  # the largest come first
        own = objects == number
        label = truth[own][0]
        here = own & (prediction == label)
        touching = np.zeros(int(predicted.max()) + 1, bool)
        touching[predicted[here]] = True
        others = (truth == label) & ~own
        outside = touching[predicted] & counted & ~others & ~own
        found.append((area / truth.size, float(here.sum() / (area + np.count_nonzero(outside)))))
    return found
