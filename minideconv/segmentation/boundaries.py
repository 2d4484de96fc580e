r"""How well outlines are drawn: mean IoU in bands around the true outlines, a *trimap* each.

A pixel is in the band of radius r if the square of 2 r + 1 pixels around it holds more than one
label of the truth, void (255) being a label too. So the band of 1 is the pixels on both sides of an
outline, and next to a void border; each band contains the smaller ones. Void pixels are in a band,
but not counted. The metric of a band is the mean IoU of `ConfusionMatrix` over its pixels, of all
images together.

Errors in the middle of an object do not count in a narrow band: what coarse maps, and a CRF, do to
outlines is seen there, and hardly in the mean IoU of all pixels.

Source: Kohli, Ladicky, Torr, "Robust higher order potentials for enforcing label consistency"
(IJCV 2009), section 6, for the trimap; Chen et al., "Semantic image segmentation with deep
convolutional nets and fully connected CRFs" (ICLR 2015), section 5.2, for mean IoU in bands around
void borders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.data.voc_colors import VOID
from minideconv.segmentation.metrics import ConfusionMatrix

__all__ = ["RADII", "BoundaryIoU", "outline_bands"]

RADII = (1, 2, 4, 8, 16)


class BoundaryIoU:
    """Confusion matrices of the bands.

    Parameters
    ----------
    num_classes : int
    radii : sequence of int
        In pixels, at least 1, rising.
    """

    def __init__(self, num_classes: int, radii: Sequence[int] = RADII) -> None:
        if not radii or list(radii) != sorted({int(r) for r in radii}) or radii[0] < 1:
            raise ValueError(
                f"BoundaryIoU: radii is {tuple(radii)}; it must be rising whole numbers from 1 on"
            )
        self.bands = {int(radius): ConfusionMatrix(num_classes) for radius in radii}

    def update(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> None:
        """Count an image's pixels, both (H, W) integers; see `ConfusionMatrix.update`."""
        masks = outline_bands(truth, list(self.bands))
        for confusion, band in zip(self.bands.values(), masks, strict=True):
            counted = band & (truth != VOID)
            confusion.update(truth[counted], prediction[counted])

    @property
    def mean_iou(self) -> dict[int, float]:
        """By radius; NaN where no pixel was counted."""
        return {radius: confusion.mean_iou for radius, confusion in self.bands.items()}


def outline_bands(labels: npt.NDArray[Any], radii: Sequence[int]) -> Iterator[npt.NDArray[np.bool]]:
    """Yield which pixels of (H, W) `labels` are in the band of each radius; radii rise."""
    low, high, reached = labels, labels, 0
    for radius in radii:
        # Squares of r and of s pixels, one after the other, are one of r + s.
        low = _over_square(low, radius - reached, np.minimum)
        high = _over_square(high, radius - reached, np.maximum)
        reached = radius
        yield low != high


def _over_square(plane: npt.NDArray[Any], radius: int, extreme: np.ufunc) -> npt.NDArray[Any]:
    """Return the extreme over the square around each pixel, as far as it is in the image."""
    for axis in (0, 1):
        source = np.moveaxis(plane, axis, 0)
        plane = plane.copy()
        result = np.moveaxis(plane, axis, 0)
        for shift in range(1, min(radius, len(source) - 1) + 1):
            extreme(result[shift:], source[:-shift], out=result[shift:])
            extreme(result[:-shift], source[shift:], out=result[:-shift])
    return plane
