"""Every row of a comparison measured on the same images, from one forward pass of each network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.segmentation import ConfusionMatrix, DenseCRF, Predictor, all_maps
from minideconv.segmentation.boundaries import BoundaryIoU
from minideconv.segmentation.ensemble import Rule
from minideconv.segmentation.object_sizes import SizeIoU
from minideconv.segmentation.predictor import Labels

__all__ = ["EXTREMES", "Measured", "Row", "measure"]

EXTREMES = 3
"""How many of its best and of its worst images are kept of each row."""


@dataclass
class Row:
    """What was counted of one way to segment, image by image."""

    num_classes: int
    counts: list[npt.NDArray[np.int64]] = field(default_factory=list)
    """The confusion matrix of each image."""
    image_iou: list[float] = field(default_factory=list)
    """The mean IoU of each image alone; NaN where it is all void."""

    def __post_init__(self) -> None:
        self.total = ConfusionMatrix(self.num_classes)
        self.boundaries, self.sizes = BoundaryIoU(self.num_classes), SizeIoU()

    def update(self, truth: npt.NDArray[Any], labels: Labels) -> None:
        """Count an image: both (H, W)."""
        own = ConfusionMatrix(self.num_classes)
        own.update(truth, labels)
        self.total.add(own.counts)
        self.counts.append(own.counts)
        self.image_iou.append(own.mean_iou)
        self.boundaries.update(truth, labels)
        self.sizes.update(truth, labels)

    def extremes(self) -> tuple[list[int], list[int]]:
        """Return which images so far are the best, and which the worst, by place in the list."""
        known = [i for i, iou in enumerate(self.image_iou) if iou == iou]
        order = sorted(known, key=lambda i: -self.image_iou[i])
        return order[:EXTREMES], order[::-1][:EXTREMES]


@dataclass
class Measured:
    """All rows, by name, and the labels of the images that the report shows."""

    rows: dict[str, Row]
    images: list[int]
    """The indices of the images in their data set, in the order of `Row.counts`."""
    labels: dict[int, dict[str, Labels]]
    """By place in `images`: each row's labels."""


def measure(
    members: Mapping[str, Predictor],
    data: Any,
    chosen: Sequence[int],
    rule: Rule = "mean",
    crf: DenseCRF | None = None,
    each: Callable[[int, int], None] = lambda done, total: None,
    shown: Sequence[int] = (),
) -> Measured:
    """Segment images in all ways and count what is right.

    Parameters
    ----------
    members : mapping of str to Predictor
    data : data set
        Its items are (H, W, 3) uint8 images and (H, W) uint8 masks; ``classes`` names the classes.
    chosen : sequence of int
        The images.
    rule, crf
        See `all_maps`.
    each : callable
        Is called with the number of images done, and of all, before each.
    shown : sequence of int
        Places in `chosen` whose labels are kept, besides the best and the worst of each row.

    Raises
    ------
    ValueError
        See `all_maps`.
    """
    found = Measured({}, list(chosen), {})
    stream = all_maps(members, (data[index][0] for index in chosen), rule, crf)
    for place, ways in enumerate(stream):
        each(place, len(chosen))
        truth = data[chosen[place]][1]
        labels = {name: each.labels() for name, each in ways.items()}
        for name, own in labels.items():
            found.rows.setdefault(name, Row(len(data.classes))).update(truth, own)
        found.labels[place] = labels
        kept = set(shown)
        for row in found.rows.values():
            kept.update(*row.extremes())
        found.labels = {at: those for at, those in found.labels.items() if at in kept}
    return found
