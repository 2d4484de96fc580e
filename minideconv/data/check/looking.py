"""Looks at all items of several image lists, by several threads: `look_at_all`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from minideconv.backend.parallel import cores
from minideconv.data.check.kept import KeptLooks, look_key
from minideconv.data.check.look import Look, instance_file, look_at
from minideconv.data.shard import Subset

__all__ = ["Place", "has_files", "look_at_all", "places"]

Place = tuple[Any, int]
"""A data set on files, and the number of an item there."""
Files = tuple[Path, Path | None, Path | None]

_MOST_THREADS = 8
_ANNOUNCED = 500  # looks that take some seconds


def has_files(dataset: Any) -> bool:
    """Whether the items of a data set are files that can be looked at."""
    return hasattr(dataset, "image_path") and hasattr(dataset, "mask_path")


def places(dataset: Any) -> Iterator[Place]:
    """Yield where each item of a list is: a part of a data set has those of the whole."""
    for index in range(len(dataset)):
        whole = dataset
        while isinstance(whole, Subset):
            whole, index = whole.dataset, whole.indices[index]
        yield whole, index


def look_at_all(
    lists: Mapping[str, Any], say: Callable[[str], None] = lambda line: None
) -> dict[str, list[Look]]:
    """Return a look at each item of each list.

    Parameters
    ----------
    lists : mapping of str to data set
        By their names. Two that name one item share its look.
    say : callable
        Takes a line about what takes long.

    Notes
    -----
    Pillow decodes without the interpreter's lock, so threads use all cores. What was found is kept
    for the next time, also if the work is interrupted; faults are not, for they may have been the
    system's, or the disk's.
    """
    asked = {name: [(_files(*place), place) for place in places(lists[name])] for name in lists}
    wanted = {files: place for found in asked.values() for files, place in found}
    readings = {id(dataset): dataset for dataset, _ in wanted.values()}
    readings = {number: dataset.reading for number, dataset in readings.items()}
    keys = {files: look_key(files, readings[id(whole)]) for files, (whole, _) in wanted.items()}
    kept = KeptLooks(repr(sorted({str(files[0].parent) for files in wanted})))
    looks = {files: look for files in wanted if (look := kept.get(keys[files])) is not None}
    todo = [files for files in wanted if files not in looks]
    if len(todo) >= _ANNOUNCED:
        say(f"checking {len(todo)} images; what is found is kept for the next time")
    pool = ThreadPoolExecutor(max(1, min(len(cores()), _MOST_THREADS, len(todo))), "check")
    try:
        results = pool.map(lambda files: look_at(*wanted[files]), todo)
        for files, look in zip(todo, results, strict=True):
            looks[files] = look
            # A file may be written while it is read: kept is what is as it was before the look.
            again = look_key(files, readings[id(wanted[files][0])])
            if again == keys[files] and not look.faults:
                kept.put(keys[files], look)
    finally:
        pool.shutdown(cancel_futures=True)
        kept.save(keys.values())
    return {name: [looks[files] for files, _ in found] for name, found in asked.items()}


def _files(dataset: Any, index: int) -> Files:
    return dataset.image_path(index), dataset.mask_path(index), instance_file(dataset, index)
