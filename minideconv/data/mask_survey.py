"""Whether the masks of a list show any object at all: `check_objects`, done before a training.

A binary mask saved as 0 and 255 is legal pixel by pixel: background and void. But where no mask
shows a class, there is nothing to learn, void pixels are left out of loss and metrics, and a
network that says "background" everywhere has a mean IoU of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minideconv.data.voc_colors import VOC_CLASSES, VOID
from minideconv.data.voc_files import read_mask
from minideconv.errors import DataError

__all__ = ["check_objects"]

_SAMPLE = 64


def check_objects(paths: Sequence[Path], what: str) -> str:
    """Refuse masks none of which shows a class beside background; return a remark, or "".

    Some 64 masks, spread evenly over the list, are read; only if none of them shows a class are
    the others, up to the first that does.

    Parameters
    ----------
    paths : sequence of Path
        The class masks.
    what : str
        What to call the list in a message.

    Returns
    -------
    str
        A sentence if some masks show void and no class, which is legal but seldom meant.

    Raises
    ------
    DataError
        If no mask shows a class, or one that was read is broken.
    """
    step = -(-len(paths) // _SAMPLE)
    looked_at = 0
    empty: dict[Path, set[int]] = {}  # those without a class
    for path in [*paths[::step], *(path for k, path in enumerate(paths) if k % step)]:
        if looked_at >= _SAMPLE and len(empty) < looked_at:
            break
        looked_at += 1
        values = set(np.flatnonzero(np.bincount(read_mask(path).ravel())).tolist())
        if values <= {0, VOID}:
            empty[path] = values
    void = [path for path, values in empty.items() if VOID in values]
    if len(empty) == looked_at:
        raise DataError(
            _nothing(len(empty), void or list(empty), set().union(*empty.values()), what)
        )
    if void:
        return (
            f"note: {len(void)} of {looked_at} masks looked at in {what} hold {VOID} (void) and no"
            f" class, {void[0].name} for one; void is not learned"
        )
    return ""


def _nothing(count: int, examples: list[Path], values: set[int], what: str) -> str:
    names = {0: "0 (background)", VOID: f"{VOID} (void)"}
    held = " and ".join(names[value] for value in sorted(values))
    return (
        f"VOC: none of the {count} masks of {what} shows a class; they hold {held} alone,"
        f" {examples[0]} for one, and the pixels of an object must hold the number of its class,"
        f" 1..{len(VOC_CLASSES) - 1}"
    )
