"""The pictures a run leaves behind: boards as it goes, samples and activations at its end."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from minideconv.backend import to_cpu, to_device
from minideconv.data.voc_colors import colorize
from minideconv.data.windows import cut, whole_image_window
from minideconv.segmentation import ConfusionMatrix
from minideconv.training.run.folder import RunFolder, write_bytes, write_text
from minideconv.training.trainer import Trainer
from minideconv.training.validation import spread
from minideconv.visualize.boards import (
    activation_picture,
    board,
    decoder_layers,
    fit,
    png_bytes,
    sample_row,
)

__all__ = ["draw_activations", "draw_board", "draw_samples"]


def draw_board(trainer: Trainer, run: RunFolder) -> None:
    """Write pictures/epoch_NNN.png: image, truth, prediction, overlay of some validation images."""
    chosen = spread(len(trainer.val_data), trainer.config.images)
    if chosen:
        images = [trainer.val_data[index] for index in chosen]
        found = trainer.segmenter().labels_of(image for image, _ in images)
        rows = [
            sample_row(image, truth, mask)
            for (image, truth), mask in zip(images, found, strict=True)
        ]
        name = f"epoch_{trainer.progress.epoch:03d}.png"
        write_bytes(run.pictures / name, png_bytes(board(rows)))
        for number, (_, truth, prediction, _) in enumerate(rows[:3]):  # "How it learned"
            write_bytes(run.pictures / f"learning_{number}_truth.png", png_bytes(truth))
            write_bytes(run.pictures / f"learning_{number}_{name}", png_bytes(prediction))


def draw_samples(trainer: Trainer, run: RunFolder) -> dict[str, list[dict[str, Any]]]:
    """Write the pictures of the report's samples; return what evaluation.json says about them."""
    samples: dict[str, list[dict[str, Any]]] = {}
    for part, data in (("val", trainer.val_data), ("train", trainer.train_data)):
        chosen = spread(len(data), trainer.config.images)
        found = trainer.segmenter().labels_of(data[index][0] for index in chosen)
        samples[part] = []
        for number, (index, prediction) in enumerate(zip(chosen, found, strict=True)):
            image, truth = data[index]
            confusion = ConfusionMatrix(len(trainer.classes))
            confusion.update(truth, prediction)
            file = f"{part}_{number}"
            names = ("image", "truth", "prediction", "overlay")
            row = sample_row(image, truth, prediction, side=256)
            for name, picture in zip(names, row, strict=True):
                write_bytes(run.pictures / f"{file}_{name}.png", png_bytes(picture))
            samples[part].append(
                {
                    "file": file,
                    "name": data.name(index),
                    "pixel_accuracy": confusion.figures()["pixel_accuracy"],
                }
            )
    return samples


def draw_activations(trainer: Trainer, run: RunFolder) -> None:
    """Write one picture per layer of the decoder, and pictures/activations.json that lists them."""
    if not hasattr(trainer.model, "activations") or len(trainer.val_data) == 0:
        return
    image, _ = trainer.val_data[_telling(trainer)]
    segmenter = trainer.segmenter()
    window = whole_image_window(*image.shape[:2])
    x = to_device(segmenter.network_input(image, window)[None], trainer.device)
    trainer.model.eval()
    seen = trainer.model.activations(x)
    entries: list[dict[str, str]] = []

    def add(name: str, size: tuple[int, ...], picture: Any) -> None:
        file = f"activation_{len(entries):02d}.png"
        write_bytes(run.pictures / file, png_bytes(picture))
        entries.append({"file": file, "name": name, "size": f"{size[0]}×{size[1]}"})

    square = cut(image, window, 0)
    add("image", square.shape, fit(square, 224))
    for name in decoder_layers(list(seen)):
        maps = np.asarray(to_cpu(seen[name]))[0]
        add(name, maps.shape[1:], activation_picture(maps, 224))
    *_, scores = seen.values()  # the last layer's
    labels = to_cpu(scores.argmax(axis=1))[0]
    add("prediction", labels.shape, fit(colorize(labels), 224))
    write_text(run.pictures / "activations.json", json.dumps(entries, indent=1) + "\n")


def _telling(trainer: Trainer) -> int:
    """Choose the validation image, of a dozen, that the network segments best."""
    chosen = spread(len(trainer.val_data), 12)
    found = trainer.segmenter().labels_of(trainer.val_data[index][0] for index in chosen)
    quality = {}
    for index, prediction in zip(chosen, found, strict=True):
        confusion = ConfusionMatrix(len(trainer.classes))
        confusion.update(trainer.val_data[index][1], prediction)
        objects = confusion.iou[1:]  # an empty scene would be easy
        known = objects[~np.isnan(objects)]
        quality[index] = float(known.mean()) if known.size else -1.0
    return max(quality, key=lambda index: quality[index])
