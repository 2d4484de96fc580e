"""What a photograph and its mask are found to be when they are read once: `Look`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.data.pictures import described
from minideconv.errors import DataError

__all__ = ["Look", "instance_file", "label_counts", "look_at"]

_DIGEST = 16


@dataclass(frozen=True)
class Look:
    """What was found; of files with faults, what could be found all the same.

    Attributes
    ----------
    faults : tuple of str
        A sentence for each fault; none where both files can be used.
    size : (height, width)
        Of the photograph, upright; (0, 0) if it could not be read.
    photograph, mask : str
        Format and mode of the files, such as "JPEG RGB"; empty if unknown.
    turned : int
        The orientation that the photograph's camera noted, 1 for upright.
    pixels : mapping of int to int
        How many pixels of the mask have each label, 255 (void) included.
    content : str
        A digest of the photograph's decoded pixels, the same for every copy of a picture.
    """

    faults: tuple[str, ...] = ()
    size: tuple[int, int] = (0, 0)
    photograph: str = ""
    mask: str = ""
    turned: int = 1
    pixels: Mapping[int, int] | None = None
    content: str = ""

    def to_list(self) -> list[Any]:
        """Return it as plain JSON."""
        values = asdict(self)
        pixels = values.pop("pixels")
        return [*values.values(), None if pixels is None else [*map(list, pixels.items())]]

    @classmethod
    def from_list(cls, values: list[Any]) -> Look:
        """Undo `to_list`."""
        faults, size, photograph, mask, turned, content, pixels = values
        counts = None if pixels is None else dict(pixels)
        return cls(tuple(faults), tuple(size), photograph, mask, turned, counts, content)


def look_at(dataset: Any, index: int) -> Look:
    """Read one item of a data set on files, and find all that is wrong with its two files.

    Parameters
    ----------
    dataset : data set
        With ``image_path(index)`` and ``mask_path(index)``, which is None where there are no masks.
    index : int
    """
    mask_path = dataset.mask_path(index)
    photograph, turned = described(dataset.image_path(index))
    kind = "" if mask_path is None else described(mask_path)[0]
    try:
        image, mask = dataset[index]
        if instance_file(dataset, index) is not None:
            dataset.instances(index)
    except DataError as error:
        faults = [str(error)]
        if mask_path is not None:  # the other file may be bad as well
            with _noted(faults):
                dataset.mask(index)
        return Look(tuple(faults), photograph=photograph, mask=kind, turned=turned)
    pixels = None if mask_path is None else label_counts(mask)
    return Look((), image.shape[:2], photograph, kind, turned, pixels, _digest(image))


def instance_file(dataset: Any, index: int) -> Path | None:
    """Return the file of an item's instance mask, where a data set has some and it is there."""
    path: Path | None = dataset.instance_path(index) if hasattr(dataset, "instance_path") else None
    return path if path is not None and path.is_file() else None


def label_counts(mask: np.ndarray) -> dict[int, int]:
    """Return how many pixels have each label of a mask, uint8."""
    counts = np.bincount(mask.ravel(), minlength=256)
    return {int(label): int(counts[label]) for label in np.flatnonzero(counts)}


@contextlib.contextmanager
def _noted(faults: list[str]) -> Iterator[None]:
    """Append the error of the block to `faults`, unless it is among them."""
    try:
        yield
    except DataError as error:
        if str(error) not in faults:
            faults.append(str(error))


def _digest(image: np.ndarray) -> str:
    digest = blake2b(repr(image.shape).encode(), digest_size=_DIGEST)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
