"""Carve a small, class-balanced set out of a full VOCdevkit folder."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minideconv.data.check.findings import examine
from minideconv.data.check.training import refuse
from minideconv.data.classes import VOC
from minideconv.data.voc import VOCSegmentation
from minideconv.data.voc_colors import VOID
from minideconv.errors import DataError, UsageError
from minideconv.files.inside import inside

__all__ = ["carve_subset", "choose_balanced"]


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
    For every split, in how many of its images each class occurs.

    Raises
    ------
    UsageError
        If `per_class` is below 1 or `output` exists.
    DataError
        If a file of a split is missing or broken, with a line for each, or no mask of a split
        shows an object; nothing is left behind.
    """
    if per_class < 1:
        raise UsageError(f"subset: per_class is {per_class}; it must be at least 1")
    output = Path(output)
    if output.exists():
        raise UsageError(f"subset: {output} exists already; give a new folder")
    sets = {split: VOCSegmentation(root, split, cache_mb=0) for split in splits}
    report = examine(sets)
    refuse([fault for fault in report.faults if fault.kind in ("file", "objects")])
    chosen, counts = {}, {}
    for number, split in enumerate(sets):
        present = [sorted(set(look.pixels or {}) - {0, VOID}) for look in report.looks[split]]
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
        chosen[split] = choose_balanced(present, per_class, rng)
        shown = [label for index in chosen[split] for label in (0, *present[index])]
        counts[split] = np.bincount(shown, minlength=sets[split].num_classes)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".subset-", dir=output.parent) as scratch:
            folder = Path(scratch) / "VOC"
            _write(folder, sets, chosen)
            folder.rename(output)
    except OSError as error:
        raise DataError(f"subset: {output} cannot be written ({error})") from error
    return counts


def _write(folder: Path, sets: dict[str, VOCSegmentation], chosen: dict[str, list[int]]) -> None:
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    copied: dict[Path, Path] = {}
    everything: set[str] = set()
    for split, dataset in sets.items():
        names = [dataset.ids[index] for index in chosen[split]]
        everything |= set(names)
        _write_list(inside(lists, split, ".txt"), names)
        for index, name in zip(chosen[split], names, strict=True):
            files = {
                "JPEGImages": dataset.image_path(index),
                "SegmentationClass": dataset.mask_path(index),
                "SegmentationObject": dataset.instance_path(index),
            }
            for kind, file in files.items():
                if file.is_file():
                    _copy(file, inside(folder / kind, name, file.suffix), copied)
        if dataset.class_table != VOC:
            (folder / "classes.txt").write_text(dataset.class_table.text(), encoding="utf-8")
    if "trainval" not in sets:
        _write_list(lists / "trainval.txt", sorted(everything))


def _write_list(path: Path, names: Sequence[str]) -> None:
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def _copy(file: Path, copy: Path, copied: dict[Path, Path]) -> None:
    """Copy a file, once; refuse two that have one name, as paths in lists may have."""
    if copied.setdefault(copy, file) != file:
        raise DataError(
            f"subset: {copied[copy]} and {file} would both be copied to {copy.name};"
            " give them different names"
        )
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
