"""Which objects the images show, and where: the boxes that both stages' crops start from."""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from minideconv.data.components import connected_components
from minideconv.data.loader import Dataset
from minideconv.data.voc_colors import VOID
from minideconv.data.windows import Window, box_of

__all__ = ["Thing", "instances_of", "things_of"]

_SEEN: WeakKeyDictionary[Dataset, dict[float, list[list[Thing]]]] = WeakKeyDictionary()


class Thing(NamedTuple):
    """One object: its image, its class, its number in the image's instance mask, box and area."""

    image: int
    label: int
    instance: int
    box: Window
    area: int


def instances_of(dataset: Dataset, index: int) -> np.ndarray:
    """(H, W) instance numbers: the data set's own if it has any, else connected regions."""
    if hasattr(dataset, "instances"):
        return dataset.instances(index)
    return connected_components(dataset[index][1])


def things_of(dataset: Dataset, min_area: float = 0.005) -> list[list[Thing]]:
    """For every image the objects that cover at least `min_area` of it, in order of their number.

    The data set is read once; later calls, from either stage, find the result in memory.
    """
    per_area = _SEEN.setdefault(dataset, {})
    if min_area not in per_area:
        per_area[min_area] = [_scan(dataset, index, min_area) for index in range(len(dataset))]
    return per_area[min_area]


def _scan(dataset: Dataset, index: int, min_area: float) -> list[Thing]:
    mask = dataset[index][1]
    instances = instances_of(dataset, index)
    things = []
    areas = np.bincount(instances.ravel(), minlength=256)
    for number in np.flatnonzero(areas >= max(1.0, min_area * mask.size)):
        if number in (0, VOID):
            continue
        region = instances == number
        box = box_of(region)
        # An instance mask can disagree with the class mask on single pixels: the majority rules.
        votes = np.bincount(mask[region], minlength=256)
        votes[[0, VOID]] = 0
        if votes.any():
            label = int(votes.argmax())
            things.append(Thing(index, label, int(number), box, int(areas[number])))
    return things
