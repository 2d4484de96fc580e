"""Whether masks of two classes are drawn black and white: `white_is_an_object`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from minideconv.data.voc_colors import VOID
from minideconv.errors import DataError

__all__ = ["white_is_an_object"]

_SAMPLE = 64


def _values(mask: np.ndarray) -> set[int]:
    return set(np.flatnonzero(np.bincount(mask.ravel())).tolist())


def _spread(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield all paths, those first that are spread evenly over the list."""
    step = -(-len(paths) // _SAMPLE)
    yield from paths[::step]
    yield from (path for k, path in enumerate(paths) if k % step)


def white_is_an_object(paths: Sequence[Path], read: Callable[[Path], np.ndarray]) -> bool:
    """Whether masks of two classes are drawn black and white: with 0 and 255, and never 1.

    Masks that cannot be read are passed over; that is reported where they are used.
    """
    white = False
    for path in _spread(paths):
        try:
            values = _values(read(path))
        except DataError:
            continue
        if 1 in values:
            return False
        white = white or VOID in values
    return white
