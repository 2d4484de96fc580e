"""The images that a network segments worst and best: label, prediction, difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.data.resize import resize_mask
from minideconv.data.voc_colors import VOID
from minideconv.segmentation import ConfusionMatrix, ScoreMap
from minideconv.tasks.segmentation.pictures import palette_of
from minideconv.tasks.task import Save
from minideconv.visualize.boards import Image, png_bytes, sample_row

__all__ = ["EXTREME_PICTURES", "difference", "draw_extremes", "image_iou"]

EXTREME_PICTURES = ("image", "truth", "prediction", "difference")
_WRONG = (213, 94, 0)  # vermilion: told from the grey of what is right without colour vision
_UNCOUNTED = (120, 170, 215)


def image_iou(outputs: ScoreMap, target: npt.NDArray[np.uint8]) -> float | None:
    """Return the mean IoU of one image over the classes in its truth or prediction.

    None if all of it is void.
    """
    confusion = ConfusionMatrix(outputs.shape[0])
    confusion.update(target, outputs.labels())
    return confusion.mean_iou if confusion.pixels else None


def difference(
    shown: Image, truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8]
) -> Image:
    """Mark the pixels that are wrong on a pale grey picture, (H, W, 3) uint8.

    Wrong ones are vermilion, void ones light blue.
    """
    grey = 110 + shown.mean(axis=2, keepdims=True) * 0.4
    picture = np.rint(np.broadcast_to(grey, shown.shape)).astype(np.uint8)
    picture[(truth != prediction) & (truth != VOID)] = _WRONG
    picture[truth == VOID] = _UNCOUNTED
    return picture


def draw_extremes(
    predictor: Any, data: Any, worst: Sequence[int], best: Sequence[int], save: Save
) -> dict[str, Any]:
    """Save the pictures; return what evaluation.json has about them."""
    found: dict[str, list[dict[str, Any]]] = {"worst": [], "best": []}
    for kind, chosen in (("worst", worst), ("best", best)):
        predictions = predictor.labels_of(data[index][0] for index in chosen)
        for number, (index, prediction) in enumerate(zip(chosen, predictions, strict=True)):
            image, truth = data[index]
            row = sample_row(image, truth, prediction, 192, palette_of(data))[:3]
            size = row[0].shape[:2]
            masks = [resize_mask(np.asarray(mask, np.uint8), size) for mask in (truth, prediction)]
            file = f"{kind}_{number}"
            for name, picture in zip(
                EXTREME_PICTURES, [*row, difference(row[0], *masks)], strict=True
            ):
                save(f"{file}_{name}.png", png_bytes(picture))
            confusion = ConfusionMatrix(len(data.classes))
            confusion.update(truth, prediction)
            iou = confusion.compute()["mean_iou"]
            found[kind].append({"file": file, "name": data.name(index), "mean_iou": iou})
    return {"extremes": found} if worst or best else {}
