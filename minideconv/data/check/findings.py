"""From looks at files to what is wrong, what is odd, and what there is: `examine`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minideconv.data.check.look import Look
from minideconv.data.check.looking import Place, look_at_all, places
from minideconv.data.voc_colors import VOID
from minideconv.errors import some

__all__ = ["Finding", "Report", "are", "examine", "pixel_counts", "shown"]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong or odd.

    Attributes
    ----------
    kind : str
        "file": a file cannot be used. "objects": no mask of a list shows a class. "repeated": a
        list names an image twice. "shared": an image is learned and evaluated. For remarks
        "empty", "void", "copy", "classes", "unlisted", "orphan".
    lists, names : tuple of str
        Which image lists and which images it is about.
    text : str
        One sentence.
    """

    kind: str
    lists: tuple[str, ...]
    names: tuple[str, ...]
    text: str


@dataclass
class Report:
    """What a check found.

    Attributes
    ----------
    lists : mapping of str to data set
    looks : mapping of str to list of Look
        One for each item of each list.
    faults, remarks : list of Finding
    """

    lists: Mapping[str, Any]
    looks: Mapping[str, list[Look]]
    faults: list[Finding] = field(default_factory=list)
    remarks: list[Finding] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        """The names of the classes."""
        return next(iter(self.lists.values())).classes


def examine(
    lists: Mapping[str, Any],
    training: Sequence[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Look at all files of some image lists of one folder.

    Parameters
    ----------
    lists : mapping of str to data set
        Of data sets on files, by the names of their lists.
    training : sequence of str, optional
        Which of them are trained on; the others are for evaluation. If left out, the name tells:
        one with "train" in it and neither "val" nor "test" is trained on, one with "val" or "test"
        and no "train" is for evaluation.
    say : callable
        Takes a line about what takes long.
    """
    report = Report(lists, look_at_all(lists, say))
    _bad_files(report)
    for name in lists:
        _about_objects(report, name)
        _repeated(report, name)
    learned, tested = _roles(lists, training)
    for one in learned:
        for other in tested:
            _shared(report, one, other)
    _about_classes(report, learned, tested)
    return report


def are(count: int, noun: str) -> str:
    """Return "1 mask is" or "2 masks are"."""
    return f"1 {noun} is" if count == 1 else f"{count} {noun}s are"


def pixel_counts(looks: Sequence[Look]) -> np.ndarray:
    """Return how many pixels have each label, (256,) int64, over some masks."""
    total = np.zeros(256, np.int64)
    for look in looks:
        for label, count in (look.pixels or {}).items():
            total[label] += count
    return total


def shown(looks: Sequence[Look]) -> np.ndarray:
    """Return in how many masks each label occurs, (256,) int64."""
    total = np.zeros(256, np.int64)
    for look in looks:
        total[list(look.pixels or {})] += 1
    return total


class _Item(NamedTuple):
    """An item of a list: a name may be of several files, in folders of their own; a path is not."""

    path: Path
    name: str
    look: Look


def _items(report: Report, name: str) -> Iterator[_Item]:
    for (whole, index), look in zip(places(report.lists[name]), report.looks[name], strict=True):
        yield _Item(whole.image_path(index), whole.name(index), look)


def _bad_files(report: Report) -> None:
    """Name each file once, whichever lists have it."""
    where: dict[str, dict[str, str]] = {}
    for name, dataset in report.lists.items():
        for index, look in enumerate(report.looks[name]):
            for text in look.faults:
                where.setdefault(text, {})[name] = dataset.name(index)
    for text, found in where.items():
        names = tuple(dict.fromkeys(found.values()))
        report.faults.append(Finding("file", tuple(found), names, text))


def _about_objects(report: Report, name: str) -> None:
    """Find a list in which no mask shows a class, and masks that show none.

    A binary mask saved as 0 and 255 is legal pixel by pixel: background and void. But where no
    mask shows a class, there is nothing to learn, void pixels are left out of loss and metrics, and
    a network that finds "background" everywhere has a mean IoU of 1.
    """
    dataset, looks = report.lists[name], report.looks[name]
    masks = [
        (place, look.pixels)
        for place, look in zip(places(dataset), looks, strict=True)
        if look.pixels is not None
    ]
    empty = [(place, pixels) for place, pixels in masks if pixels.keys() <= {0, VOID}]
    if masks and len(empty) == len(looks):
        text = _nothing(name, empty, len(dataset.classes))
        report.faults.append(Finding("objects", (name,), (), text))
        return
    named = [(whole.name(index), pixels) for (whole, index), pixels in empty]
    void = tuple(image for image, pixels in named if VOID in pixels)
    background = tuple(image for image, pixels in named if VOID not in pixels)
    for kind, names, what in (
        ("void", void, f"{VOID} (void) and no class, which is not learned"),
        ("empty", background, "background alone"),
    ):
        if names:
            text = f"{len(names)} of {len(masks)} masks of {name} show {what}: {some(names)}"
            report.remarks.append(Finding(kind, (name,), names, text))


def _nothing(name: str, empty: Sequence[tuple[Place, Mapping[int, int]]], classes: int) -> str:
    """Say that no mask of a list shows a class: the place of each, and its pixels by label."""
    words = {0: "0 (background)", VOID: f"{VOID} (void)"}
    held = sorted({value for _, pixels in empty for value in pixels})
    legal = "1" if classes == 2 else f"1..{classes - 1}"
    whole, index = next((place for place, pixels in empty if VOID in pixels), empty[0][0])
    return (
        f"VOC: none of the {len(empty)} masks of split {name!r} shows a class; they hold"
        f" {' and '.join(words[value] for value in held)} alone, {whole.mask_path(index)} for one,"
        f" and the pixels of an object must hold the number of its class, {legal}"
    )


def _repeated(report: Report, name: str) -> None:
    """Find what a list has twice: an id, or one picture under two ids."""
    items = [*_items(report, name)]
    names = {item.path: item.name for item in items}
    for path, count in Counter(item.path for item in items).items():
        if count > 1:
            times = "twice" if count == 2 else f"{count} times"
            text = f"the list {name} names {names[path]} {times}"
            report.faults.append(Finding("repeated", (name,), (names[path],), text))
    copies: dict[str, list[str]] = {}
    for item in {item.path: item for item in items}.values():
        if item.look.content:
            copies.setdefault(item.look.content, []).append(item.name)
    for same in copies.values():
        if len(same) > 1:
            text = f"{some(same)} of {name} are the same picture"
            report.remarks.append(Finding("copy", (name,), tuple(same), text))


def _roles(lists: Mapping[str, Any], training: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Return the lists that are trained on, and those for evaluation."""
    if training is not None:
        return [*training], [name for name in lists if name not in training]
    learned: list[str] = []
    tested: list[str] = []
    for name in lists:
        train, test = "train" in name, "val" in name or "test" in name
        if train != test:
            (learned if train else tested).append(name)
    return learned, tested


def _shared(report: Report, one: str, other: str) -> None:
    """Find images of a training list in one for evaluation, under the same id or as a copy."""
    learned = [*_items(report, one)]
    paths = {item.path for item in learned}
    contents = {item.look.content: item.name for item in learned if item.look.content}
    same, copies = [], []
    for item in _items(report, other):
        if item.path in paths:
            same.append(item.name)
        elif item.look.content in contents:
            copies.append((contents[item.look.content], item.name))
    if same:
        text = f"{are(len(same), 'image')} both in {one} and in {other}: {some(same)}"
        report.faults.append(Finding("shared", (one, other), tuple(same), text))
    if copies:
        pairs = [f"{first} and {second}" for first, second in copies]
        text = (
            f"photographs of {other} are copies of some of {one}, under other names: {some(pairs)}"
        )
        names = tuple(second for _, second in copies)
        report.faults.append(Finding("shared", (one, other), names, text))


def _about_classes(report: Report, learned: Sequence[str], tested: Sequence[str]) -> None:
    """Find classes that no list shows, and those that are only evaluated."""
    occurs = {name: shown(looks) for name, looks in report.looks.items()}
    if not any(total.any() for total in occurs.values()):
        return  # photographs without masks, or none that can be read
    classes = range(1, len(report.classes))
    nowhere = [k for k in classes if not any(total[k] for total in occurs.values())]
    if nowhere:
        names = tuple(report.classes[k] for k in nowhere)
        text = f"classes that no mask shows, {len(names)} of {len(classes)}: {some(names)}"
        report.remarks.append(Finding("classes", tuple(report.lists), names, text))
    for one in learned:
        for other in tested:
            only = [k for k in classes if occurs[other][k] and not occurs[one][k]]
            if only:
                names = tuple(report.classes[k] for k in only)
                text = f"{other} shows classes that {one} does not: {some(names)}"
                report.remarks.append(Finding("classes", (one, other), names, text))
