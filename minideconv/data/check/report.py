"""A check's result as text and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from minideconv.data.check.findings import Finding, Report, pixel_counts, shown
from minideconv.data.check.look import Look
from minideconv.data.check.looking import places
from minideconv.data.voc_colors import VOID

__all__ = ["is_own_json", "made_of_no_others", "to_json", "to_text"]

_MOST_LISTS = 4


def to_text(report: Report) -> str:
    """Return all of it as lines: what there is, the classes, faults, remarks."""
    counts = ", ".join(f"{name} ({len(looks)})" for name, looks in report.looks.items())
    lines = [f"image lists: {counts}", *_about_files(report), ""]
    if any(look.pixels for looks in report.looks.values() for look in looks):
        lines += [*_class_table(report), ""]
    lines += _section("fault", report.faults) + _section("remark", report.remarks)
    if not report.faults:
        lines.append("every photograph and every mask of the lists can be used")
    return "\n".join(lines)


def to_json(report: Report, root: str) -> str:
    """Return all of it as JSON; of each list the counts by class and the sizes."""
    sets = {}
    for name, looks in report.looks.items():
        pixels, images = pixel_counts(looks), shown(looks)
        sets[name] = {
            "images": len(looks),
            "sizes": [list(look.size) for look in looks],
            "pixels": {label: int(pixels[index]) for index, label in _labels(report.classes)},
            "masks": {label: int(images[index]) for index, label in _labels(report.classes)},
        }
    content = {
        "program": "minideconv.data check",
        "root": root,
        "classes": list(report.classes),
        "lists": sets,
        "photographs": dict(_kinds(report, lambda look: look.photograph)),
        "mask_files": dict(_kinds(report, lambda look: look.mask)),
        "faults": [vars(each) for each in report.faults],
        "remarks": [vars(each) for each in report.remarks],
    }
    return json.dumps(content, indent=1) + "\n"


def is_own_json(path: Path) -> bool:
    """Whether a file is what `to_json` wrote before."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("program") == "minideconv.data check"


def _labels(classes: Sequence[str]) -> list[tuple[int, str]]:
    return [*enumerate(classes), (VOID, "void")]


def _every_look(report: Report) -> Iterator[Look]:
    """Yield each look once: lists that name one image share it."""
    yield from {id(look): look for looks in report.looks.values() for look in looks}.values()


def _kinds(report: Report, kind: Callable[[Look], str]) -> list[tuple[str, int]]:
    found = Counter(kind(look) for look in _every_look(report))
    return [(name or "unreadable", count) for name, count in found.most_common()]


def _about_files(report: Report) -> list[str]:
    """Return lines about sizes, formats and orientations."""
    lines = []
    sizes = Counter(look.size for look in _every_look(report) if look.size != (0, 0))
    if sizes:
        (most, count), area = sizes.most_common(1)[0], sorted(sizes, key=np.prod)
        lines.append(
            f"sizes: {_size(area[0])} to {_size(area[-1])} pixels, most often {_size(most)}"
            f" ({count} of {sizes.total()})"
        )
    turned = sum(look.turned > 1 for look in _every_look(report))
    note = f"; {turned} turned by EXIF" if turned else ""
    lines.append(f"photographs: {_in_words(_kinds(report, lambda look: look.photograph))}{note}")
    if any(look.pixels is not None or look.mask for look in _every_look(report)):
        lines.append(f"masks: {_in_words(_kinds(report, lambda look: look.mask))}")
    return lines


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _in_words(kinds: list[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {name}" for name, count in kinds)


def _class_table(report: Report) -> list[str]:
    """Return lines of a table: of each list, masks that show a class and its share of pixels."""
    names = made_of_no_others(report)[:_MOST_LISTS]
    labels = [f"{index:3} {label}" for index, label in _labels(report.classes)]
    columns = [["class", *labels]]
    for name in names:
        pixels, images = pixel_counts(report.looks[name]), shown(report.looks[name])
        labelled = max(1, int(pixels.sum() - pixels[VOID]))
        rows = [index for index, _ in _labels(report.classes)]
        columns.append([f"{name}: masks", *(str(images[k]) for k in rows)])
        columns.append(["pixels", *(f"{pixels[k]:,}" for k in rows)])
        columns.append(["share", *(f"{100 * pixels[k] / labelled:.2f} %" for k in rows[:-1]), ""])
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in zip(*columns, strict=True)
    ]


def made_of_no_others(report: Report) -> list[str]:
    """Return the lists without those that are made of others, such as trainval."""
    files = {
        name: {whole.image_path(index) for whole, index in places(dataset)}
        for name, dataset in report.lists.items()
    }
    found = []
    for name, own in files.items():
        parts = [other for key, other in files.items() if key != name and other < own]
        if not parts or set().union(*parts) != own:
            found.append(name)
    return found


def _section(what: str, findings: list[Finding]) -> list[str]:
    if not findings:
        return []
    head = f"{len(findings)} {what}{'' if len(findings) == 1 else 's'}:"
    return [head, *(f"  {each.text}" for each in findings), ""]
