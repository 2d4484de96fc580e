"""What `evaluate` finds out about masks besides the four metrics: outlines, sizes of objects."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.segmentation.boundaries import BoundaryIoU
from minideconv.segmentation.object_sizes import SizeIoU
from minideconv.segmentation.score_map import ScoreMap
from minideconv.tasks.results import text_table

__all__ = ["SegmentationDetails"]


class SegmentationDetails:
    """Metrics near outlines and by the objects' sizes; see `tasks.results.Details`."""

    def __init__(self, num_classes: int) -> None:
        self.boundaries, self.sizes = BoundaryIoU(num_classes), SizeIoU()

    def update(self, outputs: ScoreMap, target: np.ndarray) -> None:
        """Count an image: scores (C, H, W) and truth (H, W)."""
        labels = outputs.labels()
        self.boundaries.update(target, labels)
        self.sizes.update(target, labels)

    def compute(self) -> dict[str, Any]:
        """Return both as plain JSON; None where there was nothing to count."""
        return {
            "boundary_iou": {str(r): _plain(v) for r, v in self.boundaries.mean_iou.items()},
            "size_iou": {size: _plain(v) for size, v in self.sizes.mean_iou.items()},
            "size_objects": dict(self.sizes.objects),
        }

    def table(self) -> str:
        """Return both as text."""
        bands = {f"{radius} px": iou for radius, iou in self.boundaries.mean_iou.items()}
        sizes = self.sizes.mean_iou
        objects = {size: f"{count:,}" for size, count in self.sizes.objects.items()}
        return "\n".join(
            [
                "around outlines, up to",
                text_table(bands, [("mean IoU", list(bands.values()))]),
                "objects below 1 %, below 10 %, and from 10 % of the image",
                text_table(
                    sizes, [("mean IoU", list(sizes.values())), ("objects", list(objects.values()))]
                ),
            ]
        )


def _plain(value: float) -> float | None:
    return None if value != value else value
