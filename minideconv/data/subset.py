"""Carve a small, class-balanced set out of a full VOCdevkit folder."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minideconv.data.voc import VOCSegmentation
from minideconv.data.voc_colors import VOID
from minideconv.errors import DataError, UsageError
from minideconv.files.inside import inside

__all__ = ["carve_subset", "choose_balanced"]

_FOLDERS = (("JPEGImages", ".jpg"), ("SegmentationClass", ".png"), ("SegmentationObject", ".png"))


def choose_balanced(
    present: Sequence[Sequence[int]], per_class: int, rng: np.random.Generator
) -> list[int]:
    """Choose images so that each class occurs in at least `per_class` of them, if it can.

    The rarest class chooses first; an image counts for every class in it, so common classes, which
    come along with the others, hardly choose at all.

    Parameters
    ----------
    present : for every image, the foreground classes in it.

    Returns
    -------
    Indices of the chosen images, in increasing order.
    """
    chosen: set[int] = set()
    counts: Counter[int] = Counter()
    owners: dict[int, list[int]] = {}
    for index, classes in enumerate(present):
        for label in set(classes):
            owners.setdefault(label, []).append(index)
    for label in sorted(owners, key=lambda name: (len(owners[name]), name)):
        for position in rng.permutation(len(owners[label])):
            if counts[label] >= per_class:
                break
            index = owners[label][position]
            if index not in chosen:
                chosen.add(index)
                counts.update(set(present[index]))
    return sorted(chosen)


def carve_subset(
    root: str | Path,
    output: str | Path,
    per_class: int,
    seed: int = 0,
    splits: Sequence[str] = ("train", "val"),
) -> dict[str, np.ndarray]:
    """Copy a balanced choice of images of each split to `output`, in the same layout.

    The folder appears only when it is complete. SegmentationObject is copied where it exists.

    Returns
    -------
    For every split, in how many of its images each of the 21 classes occurs.

    Raises
    ------
    UsageError
        If `per_class` is below 1 or `output` exists.
    DataError
        If a file that is needed is missing or broken, or no mask of a split shows an object;
        nothing is left behind.
    """
    if per_class < 1:
        raise UsageError(f"subset: per_class is {per_class}; it must be at least 1")
    output = Path(output)
    if output.exists():
        raise UsageError(f"subset: {output} exists already; give a new folder")
    sets = {split: VOCSegmentation(root, split, cache_mb=0) for split in splits}
    chosen, counts = {}, {}
    for number, (split, dataset) in enumerate(sets.items()):
        dataset.check_objects()
        present = [_classes(dataset.mask(index)) for index in range(len(dataset))]
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
        chosen[split] = choose_balanced(present, per_class, rng)
        shown = [label for index in chosen[split] for label in (0, *present[index])]
        counts[split] = np.bincount(shown, minlength=dataset.num_classes)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".subset-", dir=output.parent) as scratch:
            folder = Path(scratch) / "VOC"
            _write(folder, sets, chosen)
            folder.rename(output)
    except OSError as error:
        raise DataError(f"subset: {output} cannot be written ({error})") from error
    return counts


def _classes(mask: np.ndarray) -> list[int]:
    return [int(label) for label in np.unique(mask) if label not in (0, VOID)]


def _write(folder: Path, sets: dict[str, VOCSegmentation], chosen: dict[str, list[int]]) -> None:
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    everything: set[str] = set()
    for split, dataset in sets.items():
        names = [dataset.ids[index] for index in chosen[split]]
        for index in chosen[split]:
            dataset[index]  # a broken photograph is found here, and named
        everything |= set(names)
        inside(lists, split, ".txt").write_text("".join(f"{name}\n" for name in names))
        for kind, ending in _FOLDERS:
            for name in names:
                file, copy = (inside(each / kind, name, ending) for each in (dataset.root, folder))
                if file.is_file():
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, copy)
    if "trainval" not in sets:
        lines = "".join(f"{name}\n" for name in sorted(everything))
        (lists / "trainval.txt").write_text(lines)
