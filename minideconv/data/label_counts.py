"""How many pixels of a mask have each label: `label_counts`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["label_counts"]

_AT_ONCE = 1 << 18  # labels: `np.bincount` makes numbers of 8 bytes of them


def label_counts(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return how many pixels have each label: uint8 array of any shape -> (256,).

    >>> label_counts(np.array([[0, 2], [2, 255]], np.uint8))[[0, 1, 2, 255]].tolist()
    [1, 0, 2, 1]
    """
    flat = labels.ravel()
    found = np.zeros(256, np.int64)
    for start in range(0, len(flat), _AT_ONCE):
        found += np.bincount(flat[start : start + _AT_ONCE], minlength=256)
    return found
