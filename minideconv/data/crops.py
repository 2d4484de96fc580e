"""The training examples of DeconvNet's two stages: one object at a time, then real windows.

Stage 1 shows easy examples: a tight box around one object, enlarged 1.2 times, in which only the
class of that object is labelled. Stage 2 shows windows as a proposal method would give them, with
all classes labelled (Noh, Hong, Han, ICCV 2015, section 4.2 and 5.1). All windows are square and
may leave the image, as in the authors' released lists.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import numpy as np

from minideconv.data.balance import balanced_indices
from minideconv.data.loader import Dataset
from minideconv.data.objects import Thing, instances_of, things_of
from minideconv.data.voc_colors import VOID
from minideconv.data.windows import Window, cut, cut_pair, square_window, whole_image_window
from minideconv.errors import DataError, UsageError

__all__ = ["Crop", "StageOneCrops", "StageTwoCrops"]


class Crop(NamedTuple):
    """One example: a window of an image; `thing` is the object it was drawn for, if any."""

    image: int
    window: Window
    classes: tuple[int, ...]
    thing: Thing | None


class _Crops:
    """What both stages share: a list of windows over a data set, some of them repeated."""

    def __init__(self, dataset: Dataset, crops: list[Crop], balance: float) -> None:
        if not crops:
            raise DataError(
                f"{type(self).__name__}: {dataset!r} shows no object that is large enough to crop;"
                " lower min_area or give other data"
            )
        self.dataset = dataset
        self.classes = list(dataset.classes)
        self.num_classes = len(self.classes)  # with the background
        order = balanced_indices([crop.classes for crop in crops], share=balance)
        self.distinct = len(crops)
        self.crops = [crops[k] for k in order]

    def __len__(self) -> int:
        return len(self.crops)

    def __repr__(self) -> str:
        size = f"{self.distinct} windows"
        if len(self) > self.distinct:
            size += f", {len(self)} with repeats"
        return f"{type(self).__name__}({self.dataset!r}, {size})"

    def name(self, index: int) -> str:
        """Return what messages call item `index`: the image and the window in it."""
        crop = self.crops[index]
        return f"{self.dataset.name(crop.image)} [{' '.join(map(str, crop.window))}]"

    def class_counts(self) -> np.ndarray:
        """In how many examples each class was drawn for: (num_classes,) int64."""
        counts = np.zeros(self.num_classes, dtype=np.int64)
        for crop in self.crops:
            counts[list(crop.classes)] += 1
        return counts


class StageOneCrops(_Crops):
    """One example per object: its box, enlarged to a square; all but its class is background.

    Parameters
    ----------
    dataset : images with masks; instance masks are used if it has them, else connected regions.
    enlarge : the window's side over the box's longer side; the paper's 1.2 gives some context.
    min_area : smaller objects, as a fraction of the image, are passed over.
    keep : "class" labels all pixels of the object's class, other objects of it included, since
        a network that looks at the pixels could not distinguish them; "object" labels the one
        object alone, the paper's stricter wording.
    balance : 0 takes every object once; up to 1, rare classes are repeated (`balanced_indices`).

    Notes
    -----
    An item is (image (S, S, 3) uint8, mask (S, S) uint8) with S the window's side; borders stay
    void, and outside of the image the image is black and the mask void.
    """

    def __init__(
        self,
        dataset: Dataset,
        enlarge: float = 1.2,
        min_area: float = 0.005,
        keep: str = "class",
        balance: float = 0.0,
    ) -> None:
        if keep not in ("class", "object"):
            raise UsageError(f"StageOneCrops: keep is {keep!r}; it must be 'class' or 'object'")
        self.keep = keep
        crops = [
            Crop(thing.image, square_window(thing.box, enlarge), (thing.label,), thing)
            for things in things_of(dataset, min_area)
            for thing in things
        ]
        super().__init__(dataset, crops, balance)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask of the window, only the object's class labelled."""
        crop = self.crops[index]
        assert crop.thing is not None
        image, mask = cut_pair(*self.dataset[crop.image], crop.window)
        kept = mask == crop.thing.label
        if self.keep == "object":
            numbers = cut(instances_of(self.dataset, crop.image), crop.window, VOID)
            kept &= numbers == crop.thing.instance
        mask[~kept & (mask != VOID)] = 0
        return image, mask


class StageTwoCrops(_Crops):
    """Windows that overlap the ground truth as object proposals do; all classes labelled.

    Parameters
    ----------
    dataset : images with masks, as in stage 1.
    per_image : windows drawn for every image, beside the one around the whole image.
    iou : how well the box behind a window must cover its target, intersection over union.
    enlarge, min_area : as in stage 1.
    whole_image : also give the square around the whole image, once.
    balance : 0 takes every window once; up to 1, windows with rare classes are repeated.
    seed : decides the windows, once and for all; the loader's transforms vary them from there.

    Notes
    -----
    The paper takes proposals "sufficiently overlapped with ground-truth segmentations" and does not
    write how much; IoU >= 0.5 is the usual reading. The rule here, for each window:

    1. the target is the box of one object (half of the time), or of two, or of all of the image;
    2. a proposal is the target's box with each side moved by up to 35 % of the box's extent,
       clipped to the image, and drawn again until its IoU with the target is at least `iou`;
    3. the window is the proposal, enlarged to a square like in stage 1.
    """

    def __init__(
        self,
        dataset: Dataset,
        per_image: int = 8,
        iou: float = 0.5,
        enlarge: float = 1.2,
        min_area: float = 0.005,
        whole_image: bool = True,
        balance: float = 0.0,
        seed: int = 0,
    ) -> None:
        if per_image < 0 or (per_image == 0 and not whole_image):
            raise UsageError(
                f"StageTwoCrops: per_image is {per_image}; it must be at least 1,"
                " or 0 together with whole_image=True"
            )
        if not 0 < iou < 1:
            raise UsageError(f"StageTwoCrops: iou is {iou}; it must lie between 0 and 1")
        crops = []
        for index, things in enumerate(things_of(dataset, min_area)):
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
            height, width = dataset[index][1].shape
            for _ in range(per_image if things else 0):
                target = _target(rng, things)
                box = _proposal(rng, target, iou, height, width)
                crops.append(_seen(index, square_window(box, enlarge), things))
            if whole_image:
                crops.append(_seen(index, whole_image_window(height, width), things))
        super().__init__(dataset, crops, balance)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask of the window."""
        crop = self.crops[index]
        return cut_pair(*self.dataset[crop.image], crop.window)


def _target(rng: np.random.Generator, things: list[Thing]) -> Window:
    """Draw the box of one object, or of two, or of all."""
    kind = rng.random()
    if kind < 0.5:
        chosen = [things[int(rng.integers(len(things)))]]
    elif kind < 0.8:
        chosen = [things[k] for k in rng.permutation(len(things))[:2]]
    else:
        chosen = things
    return reduce(Window.union, (thing.box for thing in chosen))


def _proposal(
    rng: np.random.Generator, target: Window, iou: float, height: int, width: int
) -> Window:
    """Move the target's sides at random; keep what still overlaps it enough."""
    reach = 0.35
    while True:
        dx1, dx2 = (round(target.width * rng.uniform(-reach, reach)) for _ in range(2))
        dy1, dy2 = (round(target.height * rng.uniform(-reach, reach)) for _ in range(2))
        x1, y1 = max(0, target.x1 + dx1), max(0, target.y1 + dy1)
        x2, y2 = min(width - 1, target.x2 + dx2), min(height - 1, target.y2 + dy2)
        box = Window(x1, y1, x2, y2)
        if x1 <= x2 and y1 <= y2 and box.iou(target) >= iou:
            return box
        reach *= 0.98  # so that a high `iou` is met after some tries


def _seen(index: int, window: Window, things: list[Thing]) -> Crop:
    """Make the crop of a window: it shows the classes of the objects half inside it."""
    boxes = [(thing.label, thing.box) for thing in things]
    classes = {label for label, box in boxes if 2 * box.intersection(window) >= box.area}
    return Crop(index, window, tuple(sorted(classes)), None)
