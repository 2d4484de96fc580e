"""What every format is read as: `Item`, a photograph and how its mask is painted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minideconv.data.classes import Classes
from minideconv.data.convert.faults import Faults
from minideconv.errors import DataError, some

__all__ = ["Item", "Labelled", "Object", "Paint", "painted"]

Paint = Callable[[int, int, Mapping[str, int]], np.ndarray]
"""Takes height, width and each label's index; returns the mask (H, W) uint8, or raises DataError
for what is wrong with the whole of it."""


class Object(NamedTuple):
    """A labelled part of a photograph; ``fill(height, width)`` returns its pixels, (H, W) bool."""

    label: str
    fill: Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Item:
    """A photograph with its mask.

    Attributes
    ----------
    name : str
        Relative path without suffix.
    origin : Path
        The file that a fault in the labels is reported for.
    photograph : Path or callable
        The file, or what returns the bytes of one.
    paint : Paint
    size : (height, width) or None
        What the labels say of the photograph's size.
    split : str
        The list that the source has it in, ``train``, ``val`` or ``test``; or empty.
    """

    name: str
    origin: Path
    photograph: Path | Callable[[], bytes]
    paint: Paint
    size: tuple[int, int] | None = None
    split: str = ""


@dataclass(frozen=True)
class Labelled:
    """All of a source.

    Attributes
    ----------
    items : sequence of Item
    labels : sequence of str
        In the order of their indices.
    classes : Classes or None
        The labels with their colours, if the source has any.
    unlabelled : sequence of Path
        Photographs without labels.
    """

    items: Sequence[Item]
    labels: Sequence[str]
    classes: Classes | None = None
    unlabelled: Sequence[Path] = ()


def painted(origin: Path, objects: Sequence[Object], faults: Faults) -> Paint:
    """Return what paints objects one after the other, so that later ones cover earlier ones."""
    return partial(_paint, origin, tuple(objects), faults)


def _paint(
    origin: Path,
    objects: Sequence[Object],
    faults: Faults,
    height: int,
    width: int,
    indices: Mapping[str, int],
) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    unknown = sorted({each.label for each in objects} - indices.keys())
    if unknown:
        raise DataError(
            f"it has the label {some([repr(label) for label in unknown])}, which is no class; name"
            " it in --classes, or with --void to learn nothing from its pixels"
        )
    if not objects:
        faults.remark(origin, "photographs without an object, which are all background")
    for label, fill in objects:
        pixels = fill(height, width)
        if not pixels.any():
            faults.remark(origin, "objects outside of the photograph or without a pixel, left out")
        mask[pixels] = indices[label]
    return mask
