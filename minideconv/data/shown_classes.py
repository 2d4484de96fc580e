"""Whether the masks of a list show objects at all: `check_objects`, `white_is_an_object`.

A binary mask saved as 0 and 255 is legal pixel by pixel: background and void. But where no mask
shows a class, there is nothing to learn, void pixels are left out of loss and metrics, and a
network that finds "background" everywhere has a mean IoU of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from minideconv.data.voc_colors import VOID
from minideconv.errors import DataError

__all__ = ["check_objects", "white_is_an_object"]

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


def check_objects(
    paths: Sequence[Path], read: Callable[[Path], np.ndarray], what: str, num_classes: int
) -> str:
    """Refuse masks none of which shows a class beside background; return a remark, or "".

    Some 64 masks, spread evenly over the list, are read; only if none of them shows a class are
    the others, up to the first that does.

    Parameters
    ----------
    paths : sequence of Path
        The class masks.
    read : callable
        Reads one of them.
    what : str
        What to call the list in a message.
    num_classes : int

    Returns
    -------
    str
        A sentence if some masks show void and no class, which is legal but seldom meant.

    Raises
    ------
    DataError
        If no mask shows a class, or one that was read is broken.
    """
    looked_at = 0
    empty: dict[Path, set[int]] = {}  # those without a class
    for path in _spread(paths):
        if looked_at >= _SAMPLE and len(empty) < looked_at:
            break
        looked_at += 1
        values = _values(read(path))
        if values <= {0, VOID}:
            empty[path] = values
    void = [path for path, values in empty.items() if VOID in values]
    if len(empty) == looked_at:
        values = set().union(*empty.values())
        raise DataError(_nothing(len(empty), void or list(empty), values, what, num_classes))
    if void:
        return (
            f"note: {len(void)} of {looked_at} masks looked at in {what} hold {VOID} (void) and no"
            f" class, {void[0].name} for one; void is not learned"
        )
    return ""


def _nothing(
    count: int, examples: list[Path], values: set[int], what: str, num_classes: int
) -> str:
    names = {0: "0 (background)", VOID: f"{VOID} (void)"}
    held = " and ".join(names[value] for value in sorted(values))
    legal = "1" if num_classes == 2 else f"1..{num_classes - 1}"
    return (
        f"none of the {count} masks of {what} shows a class; they hold {held} alone,"
        f" {examples[0]} for one, and the pixels of an object must hold the number of its class,"
        f" {legal}"
    )
