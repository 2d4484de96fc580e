"""The images whose layers the report of a segmentation shows; see `tasks.layers`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minideconv.data.shard import spread
from minideconv.data.voc_colors import colorize
from minideconv.data.windows import cut_resized, whole_image_window
from minideconv.segmentation import Segmenter
from minideconv.tasks.layers import LAYER_IMAGES, LAYER_SIDE, LayerImage, draw_layers
from minideconv.tasks.segmentation.pictures import palette_of
from minideconv.tasks.task import Save

__all__ = ["LAYER_PICTURES", "draw_segmented_layers"]

LAYER_PICTURES = ("image", "truth", "prediction")
"""What is beside the layers of an image."""


def draw_segmented_layers(segmenter: Segmenter, data: Any, representative: int, save: Save) -> None:
    """Draw the layers of some images of `data`, the first of them `representative`."""
    if hasattr(segmenter, "model") and len(data) > 0:
        draw_layers(segmenter.model, _images(segmenter, data, representative), save)


def _images(segmenter: Segmenter, data: Any, representative: int) -> Iterator[LayerImage]:
    others = [index for index in spread(len(data), LAYER_IMAGES + 1) if index != representative]
    for index in [representative, *others][:LAYER_IMAGES]:
        image, truth = data[index]
        window = whole_image_window(*image.shape[:2])
        side = min(window.width, LAYER_SIDE)
        pictures = (
            cut_resized(image, window, (side, side)),
            colorize(truth, palette_of(data)),
            colorize(segmenter.labels(image), palette_of(data)),
        )
        shown = dict(zip(LAYER_PICTURES, pictures, strict=True))
        yield LayerImage(data.name(index), shown, segmenter.network_input(image, window)[None])
