"""The layers of a decoder for some images, as the report's slider shows them."""

from __future__ import annotations

import json
from typing import Any

from minideconv.data.shard import spread
from minideconv.data.voc_colors import colorize
from minideconv.data.windows import cut_resized, whole_image_window
from minideconv.segmentation import Segmenter
from minideconv.tasks.segmentation.pictures import palette_of
from minideconv.tasks.task import Save
from minideconv.visualize.boards import fit, png_bytes
from minideconv.visualize.layer_strips import layer_strips

__all__ = ["draw_layers"]

_SIDE = 160


def draw_layers(
    segmenter: Segmenter, data: Any, representative: int, save: Save, images: int = 3
) -> None:
    """Save the strips of some images of `data`, and layers.json that lists them.

    The first is `representative`; the others are spread over the list.
    """
    if not hasattr(segmenter, "model") or len(data) == 0:
        return
    others = [index for index in spread(len(data), images + 1) if index != representative]
    listed = []
    for number, index in enumerate([representative, *others][:images]):
        image, truth = data[index]
        window = whole_image_window(*image.shape[:2])
        side = min(window.width, _SIDE)
        square = cut_resized(image, window, (side, side))
        prediction = segmenter.labels(image)
        pictures = {
            "image": fit(square, _SIDE),
            "truth": fit(colorize(truth, palette_of(data)), _SIDE),
            "prediction": fit(colorize(prediction, palette_of(data)), _SIDE),
        }
        strips = layer_strips(segmenter.model, segmenter.network_input(image, window)[None])
        files = {}
        for name, picture in pictures.items():
            files[name] = f"layers_{number}_{name}.png"
            save(files[name], png_bytes(picture))
        layers = []
        for place, strip in enumerate(strips):
            file = f"layers_{number}_{place:02d}.png"
            save(file, strip.pop("png"))
            layers.append({"file": file, **strip})
        listed.append({"name": data.name(index), **files, "layers": layers})
    save("layers.json", (json.dumps(listed, indent=1) + "\n").encode())
