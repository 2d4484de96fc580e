"""The pictures of a segmentation: boards as a run goes, samples and activations at its end."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from minideconv.backend import to_cpu, to_device
from minideconv.data.shard import spread
from minideconv.data.voc_colors import colorize
from minideconv.data.windows import cut_resized, whole_image_window
from minideconv.nn.mode import evaluating
from minideconv.nn.utils import device_of_module
from minideconv.segmentation import ConfusionMatrix, Segmenter
from minideconv.tasks.task import Save
from minideconv.visualize.boards import (
    activation_picture,
    board,
    fit,
    png_bytes,
    sample_row,
)
from minideconv.visualize.layers import decoder_layers

__all__ = [
    "SAMPLE_PICTURES",
    "draw_activations",
    "draw_board",
    "draw_samples",
    "palette_of",
    "representative",
]

SAMPLE_PICTURES = ("image", "truth", "prediction", "overlay")


def palette_of(data: Any) -> np.ndarray | None:
    """Return the colours of a data set's classes, (256, 3) uint8; None: VOC's."""
    table = getattr(data, "class_table", None)
    return None if table is None else table.palette()


def draw_board(predictor: Segmenter, data: Any, count: int, epoch: int, save: Save) -> None:
    """Save epoch_NNN.png: image, truth, prediction, overlay of some images."""
    chosen = spread(len(data), count)
    if chosen:
        images = [data[index] for index in chosen]
        found = predictor.labels_of(image for image, _ in images)
        rows = [
            sample_row(image, truth, mask, palette=palette_of(data))
            for (image, truth), mask in zip(images, found, strict=True)
        ]
        name = f"epoch_{epoch:03d}.png"
        save(name, png_bytes(board(rows)))
        for number, (_, truth, prediction, _) in enumerate(rows[:3]):  # "How it learned"
            save(f"learning_{number}_truth.png", png_bytes(truth))
            save(f"learning_{number}_{name}", png_bytes(prediction))


def draw_samples(
    segmenter: Segmenter, data: Any, subset: str, count: int, save: Save
) -> list[dict[str, Any]]:
    """Save the pictures of the report's samples; return what evaluation.json has about them."""
    samples: list[dict[str, Any]] = []
    chosen = spread(len(data), count)
    found = segmenter.labels_of(data[index][0] for index in chosen)
    for number, (index, prediction) in enumerate(zip(chosen, found, strict=True)):
        image, truth = data[index]
        file = f"{subset}_{number}"
        row = sample_row(image, truth, prediction, 256, palette_of(data))
        for name, picture in zip(SAMPLE_PICTURES, row, strict=True):
            save(f"{file}_{name}.png", png_bytes(picture))
        right = _confusion(data, truth, prediction).compute()["pixel_accuracy"]
        samples.append({"file": file, "name": data.name(index), "pixel_accuracy": right})
    return samples


def draw_activations(segmenter: Segmenter, data: Any, chosen: int, save: Save) -> None:
    """Save one picture per layer of the decoder, and activations.json that lists them.

    They are of the image with the number `chosen`.
    """
    model: Any = segmenter.model
    if not hasattr(model, "activations") or len(data) == 0:
        return
    image, _ = data[chosen]
    window = whole_image_window(*image.shape[:2])
    x = to_device(segmenter.network_input(image, window)[None], device_of_module(model))
    with evaluating():
        seen = model.activations(x)
    entries: list[dict[str, str]] = []

    def add(name: str, size: tuple[int, ...], picture: Any) -> None:
        file = f"activation_{len(entries):02d}.png"
        save(file, png_bytes(picture))
        entries.append({"file": file, "name": name, "size": f"{size[0]}×{size[1]}"})

    side = min(window.width, 224)
    square = cut_resized(image, window, (side, side))
    add("image", (window.height, window.width), fit(square, 224))
    for name in decoder_layers(model, list(seen)):
        maps = np.asarray(to_cpu(seen[name]))[0]
        add(name, maps.shape[1:], activation_picture(maps, 224))
    *_, scores = seen.values()  # the last layer's
    labels = to_cpu(scores.argmax(axis=1))[0]
    add("prediction", labels.shape, fit(colorize(labels, palette_of(data)), 224))
    save("activations.json", (json.dumps(entries, indent=1) + "\n").encode())


def representative(segmenter: Segmenter, data: Any) -> int:
    """Choose the image, of a dozen, that the network segments best; 0 if there is none."""
    chosen = spread(len(data), 12)
    found = segmenter.labels_of(data[index][0] for index in chosen)
    quality = {}
    for index, prediction in zip(chosen, found, strict=True):
        objects = _confusion(data, data[index][1], prediction).iou[1:]  # an empty scene is easy
        known = objects[~np.isnan(objects)]
        quality[index] = float(known.mean()) if known.size else -1.0
    return max(quality, key=lambda index: quality[index], default=0)


def _confusion(data: Any, truth: np.ndarray, prediction: np.ndarray) -> ConfusionMatrix:
    confusion = ConfusionMatrix(len(data.classes))
    confusion.update(truth, prediction)
    return confusion
