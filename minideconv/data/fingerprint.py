"""Whether two image lists are the same: a digest of names, sizes of files and some contents."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.data.shapes import Shapes
from minideconv.data.shard import Subset, spread

__all__ = ["fingerprint"]

_CONTENTS = 16
"""Items of which the content counts as well: all of a large set would take minutes."""


def fingerprint(data: Any) -> str:
    """Return 32 hexadecimal digits which another image list does not have.

    Counted are the number of images, their names and order, the sizes of their files, and the
    content of 16 of them, spread over the list. Where the files are does not count: a folder may
    move. Drawn pictures are described by what they are drawn from, as another version of Pillow may
    draw single grey levels otherwise.

    Parameters
    ----------
    data : data set
        Gives (image, mask) pairs of arrays; ``name(i)``, ``image_path(i)`` and ``mask_path(i)`` are
        used if it has them.
    """
    found = hashlib.sha256(f"{len(data)}\n".encode())
    places = list(range(len(data)))
    while isinstance(data, Subset):
        places, data = [data.indices[place] for place in places], data.dataset
    if isinstance(data, Shapes):
        found.update(f"{data.size} {data.difficulty}\n".encode())
    named, filed = hasattr(data, "name"), hasattr(data, "image_path") and hasattr(data, "mask_path")
    chosen = set(spread(len(places), _CONTENTS))
    for number, place in enumerate(places):
        if named:
            found.update(f"{data.name(place)}\n".encode())
        if filed:
            for path in (data.image_path(place), data.mask_path(place)):
                if path is not None:  # photographs may have no masks
                    _add_file(found, Path(path), number in chosen)
        elif number in chosen and not isinstance(data, Shapes):
            for array in map(np.ascontiguousarray, data[place][:2]):
                found.update(f"{array.shape} {array.dtype}\n".encode())
                found.update(array.tobytes())
    return found.hexdigest()[:32]


def _add_file(found: Any, path: Path, content: bool) -> None:
    try:
        found.update(f"{path.stat().st_size}\n".encode())
        if content:
            found.update(path.read_bytes())
    except OSError:  # it is reported by its name when it is read
        found.update(b"missing\n")
