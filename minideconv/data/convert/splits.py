"""Which photographs are for training and which for validation: `lists_of`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minideconv.errors import DataError

__all__ = ["VAL_FRACTION", "lists_of"]

VAL_FRACTION = 0.2


def lists_of(
    splits: Mapping[str, str],
    shows: Mapping[str, bool],
    val_fraction: float | None = None,
    seed: int = 0,
) -> dict[str, list[str]]:
    """Return the names of each list.

    The source's own lists are kept if it has one for training and one for validation. Else, or if
    `val_fraction` is given, the part is drawn: of the photographs that show an object and of the
    others alike, so that the validation list shows some. A list for testing stays what it is.

    Parameters
    ----------
    splits : mapping of str to str
        For each name ``train``, ``val``, ``test``, or empty if the source does not say.
    shows : mapping of str to bool
        Whether it shows an object.
    val_fraction : float, optional
        From 0, no validation list, to below 1; `VAL_FRACTION` if it is left out.
    seed : int
        Decides the draw.

    Raises
    ------
    DataError
        If only one photograph shows an object, so that one of the lists would show none.
    """
    names = sorted(splits)
    test = [name for name in names if splits[name] == "test"]
    rest = [name for name in names if splits[name] != "test"]
    lists = {"test": test} if test else {}
    if val_fraction is None and {"train", "val"} <= set(splits.values()):
        val = {name for name in rest if splits[name] == "val"}
    else:
        fraction = VAL_FRACTION if val_fraction is None else val_fraction
        val = _drawn(rest, shows, fraction, np.random.default_rng(seed)) if fraction else set()
    lists["train"] = [name for name in rest if name not in val]
    if val:
        lists["val"] = sorted(val)
    return lists


def _drawn(
    names: list[str], shows: Mapping[str, bool], fraction: float, rng: np.random.Generator
) -> set[str]:
    """Draw a part of those that show an object, at least one, and of those that do not."""
    objects = [name for name in names if shows[name]]
    empty = [name for name in names if not shows[name]]
    if len(objects) < 2:
        raise DataError(
            f"only {len(objects)} photograph shows an object; there must be two, one to train on"
            " and one to validate on (--val-fraction 0 makes no list for validation)"
        )
    count = min(max(1, round(fraction * len(objects))), len(objects) - 1)
    chosen = [objects[k] for k in rng.permutation(len(objects))[:count]]
    chosen += [empty[k] for k in rng.permutation(len(empty))[: round(fraction * len(empty))]]
    return set(chosen)
