"""`convert`: what a program for labelling exports becomes a folder in VOCdevkit's layout."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minideconv.data.classes import Classes, is_background, is_ignored, parse_classes
from minideconv.data.convert.archive import is_archive, unpack
from minideconv.data.convert.faults import Faults
from minideconv.data.convert.folder import (
    plain_name,
    read_photograph,
    write_lists,
    write_mask,
    write_photograph,
)
from minideconv.data.convert.formats import find_format, read_source
from minideconv.data.convert.items import Item, Labelled
from minideconv.data.convert.splits import lists_of
from minideconv.data.voc_colors import VOID
from minideconv.errors import DataError, UsageError, some
from minideconv.files.atomic import write_problem

__all__ = ["Converted", "convert"]


@dataclass(frozen=True)
class Converted:
    """What a conversion made.

    Attributes
    ----------
    format : str
        The source's.
    classes : Classes
    shown : (n,) array of int
        In how many photographs each class is.
    lists : mapping of str to list of str
        The names in each list.
    remarks : list of str
        What was left out, and what may not have been meant.
    """

    format: str
    classes: Classes
    shown: np.ndarray
    lists: Mapping[str, Sequence[str]]
    remarks: Sequence[str]


def convert(
    source: str | Path,
    output: str | Path,
    format: str | None = None,
    classes: Classes | None = None,
    void: Sequence[str] = (),
    images: str | Path | None = None,
    val_fraction: float | None = None,
    seed: int = 0,
) -> Converted:
    """Make a folder in VOCdevkit's layout with palette masks and a classes.txt.

    The folder appears when it is complete; nothing of the source is changed. Each photograph is
    decoded and each mask painted, and all that is wrong with any of them is reported together.

    Parameters
    ----------
    source : str or Path
        A folder, a zip archive, or a JSON file of COCO's.
    output : str or Path
        The folder to make.
    format : str, optional
        One of `formats.FORMATS`; found out if left out.
    classes : Classes, optional
        Which labels there are, in the order of their indices. If left out: those that the source
        lists, or else all labels in it by name.
    void : sequence of str
        Labels whose pixels count neither in a loss nor in a metric, as labelme's ``__ignore__``.
    images : str or Path, optional
        A folder with photographs, if they are not in `source`.
    val_fraction, seed
        See `lists_of`.

    Raises
    ------
    UsageError
        If an argument is wrong: no such source, an output that exists.
    DataError
        If something is wrong with the files; the message lists all faults, and nothing is left.
    """
    source, output = Path(source), Path(output)
    images = None if images is None else Path(images)
    _check(source, output, images)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".convert-", dir=output.parent) as scratch:
            place, unpacked = source, Path(scratch, "archive")
            if is_archive(source):
                unpacked.mkdir()
                place = unpack(source, unpacked)
            try:
                return _convert(
                    place, output, Path(scratch), format, classes, void, images, val_fraction, seed
                )
            except (UsageError, DataError) as error:
                raise type(error)(str(error).replace(str(place), str(source))) from error
    except OSError as error:
        raise DataError(
            f"{error.filename or output} cannot be read or written: {write_problem(error)}"
        ) from error


def _check(source: Path, output: Path, images: Path | None) -> None:
    """Refuse what is wrong before anything is read."""
    if not source.exists():
        raise UsageError(f"{source}: there is no such folder or file")
    if source.is_file() and source.suffix.lower() not in (".zip", ".json"):
        raise UsageError(f"{source} must be a folder, a zip archive or a JSON file")
    if images is not None and not images.is_dir():
        raise UsageError(f"--images {images}: there is no such folder")
    if os.path.lexists(output):
        raise UsageError(f"--output {output} exists already; name a new folder")
    for folder in (source, images):
        if folder is not None and output.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"--output {output} lies in {folder}, which is read and stays as it is; "
                "name a folder outside"
            )


def _convert(
    source: Path,
    output: Path,
    scratch: Path,
    format: str | None,
    classes: Classes | None,
    void: Sequence[str],
    images: Path | None,
    val_fraction: float | None,
    seed: int,
) -> Converted:
    format = format or find_format(source)
    faults = Faults(source if source.is_dir() else source.parent)
    labelled = read_source(source, format, classes, images, faults)
    try:
        final = _final_classes(labelled, classes, void)
        _check_names(final)
    except (UsageError, DataError):
        if not faults.count:  # else that some labels were not read may be the reason
            raise
        raise DataError(f"{source}: {faults.report()}") from None
    folder = scratch / "converted"
    indices = _indices(labelled.labels, final, void)
    splits, shown = _write_items(folder, labelled.items, final, indices, faults)
    if faults.count:
        raise DataError(f"{source}: {faults.report()}")
    shows = {name: bool(labels[1:].any()) for name, labels in shown.items()}
    if not any(shows.values()):
        raise DataError(f"{source}: no photograph shows an object, so there is nothing to learn")
    for path in labelled.unlabelled:
        faults.remark(path, "photographs without labels, left out")
    lists = lists_of(splits, shows, val_fraction, seed)
    write_lists(lists, final, folder)
    folder.rename(output)
    counts = np.sum(list(shown.values()), axis=0)
    return Converted(format, final, counts, lists, faults.remarks())


def _write_items(
    folder: Path,
    items: Sequence[Item],
    classes: Classes,
    indices: Mapping[str, int],
    faults: Faults,
) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Write photographs and masks; return by name the list of each, and which classes it shows.

    After the first fault nothing more is written, since nothing will come of it; but the rest is
    looked at.
    """
    splits: dict[str, str] = {}
    shown: dict[str, np.ndarray] = {}
    owners: dict[str, Item] = {}
    for item in items:
        try:
            name = plain_name(item.name)
            twin = owners.setdefault(name.casefold(), item)
            if twin is not item:
                raise DataError(
                    f"its photograph would be called {name}, as that of {faults.name(twin.origin)};"
                    " rename one of them"
                )
            picture = read_photograph(item, folder.with_name("photograph"))
            mask = item.paint(picture.upright.height, picture.upright.width, indices)
        except DataError as error:
            faults.add(item.origin, error)
            continue
        splits[name] = item.split
        shown[name] = np.bincount(mask.ravel(), minlength=256)[: len(classes)] > 0
        if not faults.count:
            write_photograph(picture, folder / "JPEGImages", name)
            write_mask(mask, classes, folder / "SegmentationClass", name)
    return splits, shown


def _final_classes(labelled: Labelled, given: Classes | None, void: Sequence[str]) -> Classes:
    """Return the classes of the new folder: those that are wanted, listed, or else found."""
    strange = [label for label in void if label not in labelled.labels]
    if strange:
        raise UsageError(
            f"--void {some(strange)}: the source has no such label; its labels are"
            f" {some(labelled.labels, 20) or 'none'}"
        )
    if given is not None:
        both = [label for label in void if label in given.names]
        if both:
            raise UsageError(f"--void {some(both)}: --classes names it as a class; choose one")
        return given
    listed = labelled.classes
    if listed is None:
        kept = [k for k in labelled.labels if not (k in void or is_background(k) or is_ignored(k))]
        return Classes(["background", *kept])
    chosen = [k for k, name in enumerate(listed.names) if name not in void]
    if len(chosen) == len(listed):
        return listed
    return Classes(
        [listed.names[k] for k in chosen],
        listed.colours[chosen] if listed.chosen else None,
        listed.void if listed.chosen else None,
    )


def _check_names(classes: Classes) -> None:
    """Refuse names that would be read as something else in a classes.txt, such as a remark."""
    for name in classes.names[1:]:
        alone = Classes(["background", name])
        try:
            right = parse_classes(alone.text()) == alone
        except DataError:
            right = False
        if not right:
            raise DataError(
                f"the label {name!r} cannot be the name of a class in a classes.txt; rename it, or"
                " give it to --void"
            )


def _indices(labels: Sequence[str], classes: Classes, void: Sequence[str]) -> dict[str, int]:
    """Return the index of each label that has one."""
    found = {label: 0 for label in labels if is_background(label)}
    found |= {label: VOID for label in labels if label in void or is_ignored(label)}
    return found | {name: index for index, name in enumerate(classes.names)}
