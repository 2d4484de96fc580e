r"""The limits that the paper finds in FCN, on drawn pictures that are made to show them.

*A fixed receptive field* (section 1, Figure 1): objects larger than it fall apart, smaller ones are
missed. Each picture of a series holds one object of one radius r, in shares of the picture's side;
of every object with pixels o and label c, and the predicted labels P, are found

    missed   |{p \in o : P(p) = c}| < 0.1 |o|
    pieces   the number of 4-connected regions of one class, the background excepted, into which the
             prediction cuts o, those below 1 % of o left out; 1 is whole; of objects not missed
    IoU      see `segmentation.object_sizes`

*Coarse detail*: the scores of a stride of s pixels have no finer outlines. Each picture holds one
object of radius 0.3, which a network sees well, of one class: outlines with corners and thin arms
against a disc. IoU of the object and mean IoU in the band of one pixel around its outline are found
of each row, and of the truth itself averaged over s x s pixels and enlarged bilinearly: what such a
grid can hold.

Void pixels are counted nowhere. The networks have seen radii of `DIFFICULTIES` alone; the report
marks them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.data import Shapes
from minideconv.data.components import regions
from minideconv.data.shapes import DIFFICULTIES
from minideconv.data.voc_colors import VOID
from minideconv.ops.interpolate import interpolate
from minideconv.segmentation import Predictor, all_maps
from minideconv.segmentation.boundaries import BoundaryIoU
from minideconv.segmentation.object_sizes import object_ious
from minideconv.segmentation.predictor import Labels

__all__ = [
    "PICTURES",
    "RADII",
    "STRIDES",
    "Each",
    "details",
    "object_fate",
    "sizes",
    "through_grid",
]

RADII = (0.08, 0.11, 0.16, 0.23, 0.32, 0.45)
STRIDES = (4, 8, 16)
PICTURES = 40

_DETAIL_RADIUS, _LEAST_PIXELS = 0.3, 4
Each = Callable[[int, int], None]


def _series(
    difficulty: str, size: int, radius: float, count: int, classes: tuple[str, ...] = ()
) -> Shapes:
    """Return pictures with one object of this radius, in front of nothing else."""
    how = DIFFICULTIES[difficulty]
    how = dataclasses.replace(
        how,
        classes=classes or how.classes,
        objects=(1, 1),
        radius=(radius, radius),
        clutter=(0, 0),
    )
    return Shapes("test", length=count, size=size, difficulty=how)


def sizes(
    members: Mapping[str, Predictor],
    difficulty: str,
    size: int,
    count: int = PICTURES,
    each: Each = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Return what happens to objects of each of `RADII`, as plain JSON.

    Parameters
    ----------
    members : mapping of str to Predictor
        Networks that know the classes of `difficulty`.
    difficulty : str
        A key of `DIFFICULTIES`.
    size : int
        The side of the pictures in pixels; radii of less than 4 pixels are left out.
    count : int
        Pictures of each radius.
    each : callable
        Is called with the number of series done, and of all.
    """
    radii = [radius for radius in RADII if radius * size >= _LEAST_PIXELS]
    found = []
    for number, radius in enumerate(radii):
        each(number, len(radii))
        data = _series(difficulty, size, radius, count)
        pictures = [data[index] for index in range(count)]
        fates: dict[str, list[tuple[float, bool, int]]] = {}
        ways = all_maps(members, (image for image, _ in pictures))
        for (_, truth), maps in zip(pictures, ways, strict=True):
            for name, scores in maps.items():
                fate = object_fate(truth, scores.labels())
                fates.setdefault(name, []).append(fate)
        share = np.mean([np.mean((truth != 0) & (truth != VOID)) for _, truth in pictures])
        found.append(
            {
                "radius": radius,
                "share": float(share),
                "seen_in_training": _within(radius, DIFFICULTIES[difficulty].radius),
                "rows": {name: _summary(those) for name, those in fates.items()},
            }
        )
    return found


def _within(radius: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= radius <= limits[1]


def _summary(fates: list[tuple[float, bool, int]]) -> dict[str, float | None]:
    pieces = [number for _, missed, number in fates if not missed]
    return {
        "iou": float(np.mean([iou for iou, _, _ in fates])),
        "missed": float(np.mean([missed for _, missed, _ in fates])),
        "pieces": float(np.mean(pieces)) if pieces else None,
    }


def object_fate(truth: npt.NDArray[Any], labels: Labels) -> tuple[float, bool, int]:
    """Return IoU, whether it is missed, and the pieces of the one object in a picture.

    Both are (H, W).
    """
    own = (truth != 0) & (truth != VOID)
    label, area = truth[own][0], np.count_nonzero(own)
    # A border may cut a thin arm off; the largest part stands for the object.
    iou = object_ious(truth, labels)[0][1]
    missed = np.count_nonzero(labels[own] == label) < 0.1 * area
    parts = np.bincount(regions(np.where(own, labels, 0)).ravel())[1:]
    return iou, bool(missed), int(np.count_nonzero(parts >= 0.01 * area))


def details(
    members: Mapping[str, Predictor],
    difficulty: str,
    size: int,
    count: int = PICTURES,
    each: Each = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Return how well the outlines of each class are drawn, as plain JSON; see `sizes`."""
    classes = DIFFICULTIES[difficulty].classes
    found = []
    for number, name in enumerate(classes):
        each(number, len(classes))
        # One class alone is drawn; its label is put back to what the networks know it by.
        data = _series(difficulty, size, _DETAIL_RADIUS, count, (name,))
        pictures = [
            (image, np.where(truth == 1, number + 1, truth).astype(np.uint8))
            for image, truth in (data[index] for index in range(count))
        ]
        rows: dict[str, list[float]] = {}
        bands: dict[str, BoundaryIoU] = {}
        ways = all_maps(members, (image for image, _ in pictures))
        for (_, truth), maps in zip(pictures, ways, strict=True):
            labels = {key: scores.labels() for key, scores in maps.items()}
            labels |= {f"truth at stride {s}": through_grid(truth, s) for s in STRIDES}
            for key, own in labels.items():
                rows.setdefault(key, []).append(object_ious(truth, own)[0][1])
                band = bands.setdefault(key, BoundaryIoU(len(classes) + 1, (1,)))
                band.update(truth, own)
        outlines = {key: band.mean_iou[1] for key, band in bands.items()}
        found.append(
            {
                "class": name,
                "rows": {
                    key: {"iou": float(np.mean(ious)), "outline_iou": outlines[key]}
                    for key, ious in rows.items()
                },
            }
        )
    return found


def through_grid(truth: npt.NDArray[Any], stride: int) -> Labels:
    """Return what is left of a mask on a grid of `stride` pixels: averaged, enlarged, most likely.

    Parameters
    ----------
    truth : (H, W) array
        Void counts as background.
    stride : int
        At least 1.
    """
    height, width = truth.shape
    labels = np.unique(np.where(truth == VOID, 0, truth))
    bottom, right = -height % stride, -width % stride
    padded = np.pad(np.where(truth == VOID, 0, truth), ((0, bottom), (0, right)), "edge")
    planes = (padded == labels[:, None, None]).astype(np.float32)
    rows, columns = padded.shape[0] // stride, padded.shape[1] // stride
    cells = planes.reshape(len(labels), rows, stride, columns, stride).mean(axis=(2, 4))
    enlarged = interpolate(cells[None], padded.shape, mode="bilinear")[0, :, :height, :width]
    found: Labels = labels[enlarged.argmax(axis=0)].astype(np.uint8)
    return found
