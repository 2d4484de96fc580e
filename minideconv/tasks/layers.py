"""The layers of a decoder for some images, as the report's slider shows them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from minideconv.backend import Array
from minideconv.nn import Module
from minideconv.segmentation.predictor import Image
from minideconv.tasks.task import Save
from minideconv.visualize.boards import fit, png_bytes
from minideconv.visualize.layer_strips import layer_strips

__all__ = ["LAYER_IMAGES", "LAYER_SIDE", "LayerImage", "draw_layers"]

LAYER_IMAGES = 3
"""Images of a slider."""
LAYER_SIDE = 160
"""Pixels of the longer side of what is beside the layers."""


class LayerImage(NamedTuple):
    """An image whose layers are shown."""

    name: str
    pictures: Mapping[str, Image]
    """What is shown beside its layers, by the names that `layer_slider` gets."""
    x: Array
    """What the network is given for it: (1, 3, S, S)."""


def draw_layers(network: Module, images: Iterable[LayerImage], save: Save) -> None:
    """Save the strips of some images, and layers.json that lists them."""
    listed = []
    for number, image in enumerate(images):
        strips = layer_strips(network, image.x)
        files = {}
        for name, picture in image.pictures.items():
            files[name] = f"layers_{number}_{name}.png"
            save(files[name], png_bytes(fit(picture, LAYER_SIDE)))
        layers: list[dict[str, Any]] = []
        for place, strip in enumerate(strips):
            file = f"layers_{number}_{place:02d}.png"
            save(file, strip.pop("png"))
            layers.append({"file": file, **strip})
        listed.append({"name": image.name, **files, "layers": layers})
    save("layers.json", (json.dumps(listed, indent=1) + "\n").encode())
