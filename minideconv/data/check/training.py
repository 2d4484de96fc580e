"""The check before a network is trained or evaluated: `check_before_use`.

A run reads its last validation image at the end of the first epoch. A file that cannot be used
would cost that epoch; found before the first step it costs nothing, and all of them are named at
once. What can be used is used: an image that a list names twice, or that is learned and evaluated,
is remarked and stops nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minideconv.data.check.findings import Finding, Report, examine
from minideconv.data.check.looking import has_files, places
from minideconv.data.shard import Subset
from minideconv.errors import DataError

__all__ = ["check_before_use", "refuse"]

_MOST_NAMED = 10


def check_before_use(
    lists: Mapping[str, Any],
    training: str | None = None,
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Look at all files of image lists, and refuse them if some cannot be used.

    What is odd is put into the data sets' ``remark``.

    Parameters
    ----------
    lists : mapping of str to data set
        By the names of their lists. Those that are not on files are left alone.
    training : str, optional
        The list that is trained on.
    command : str
        What a user types to see all that was found.
    say : callable
        Takes a line about what takes long.

    Raises
    ------
    DataError
        With a line for each of the first faults, their number, and the command.
    """
    lists = {name: dataset for name, dataset in lists.items() if has_files(dataset)}
    if not lists:
        return
    report = examine(lists, [training] if training in lists else [], say)
    refuse([fault for fault in report.faults if _stops(fault, lists, training)], command)
    for name, dataset in lists.items():
        whole, _ = next(places(dataset))
        whole.remark = "\n".join(_notes(report, name))


def _stops(fault: Finding, lists: Mapping[str, Any], training: str | None) -> bool:
    """Whether nothing can be computed with a fault."""
    if fault.kind == "objects" and training not in lists:
        # Some images of a list may be without objects; a list of nothing else is a mistake.
        return not isinstance(lists[fault.lists[0]], Subset)
    return fault.kind in ("file", "objects")


def refuse(faults: list[Finding], command: str = "") -> None:
    """Raise a `DataError` with a line for each of the first faults, if there are some."""
    if len(faults) == 1:
        raise DataError(faults[0].text)
    if faults:
        lines = [f"{len(faults)} faults were found, and nothing was begun:"]
        lines += [f"  {fault.text}" for fault in faults[:_MOST_NAMED]]
        if len(faults) > _MOST_NAMED:
            lines.append(f"  and {len(faults) - _MOST_NAMED} more")
        raise DataError("\n".join([*lines, *([f"all of them: {command}"] if command else [])]))


def _notes(report: Report, name: str) -> list[str]:
    """Return what is odd about a list and changes what is learned, or what the metrics tell."""
    odd = [fault for fault in report.faults if fault.kind != "file"]
    odd += [remark for remark in report.remarks if remark.kind in ("void", "classes")]
    return [f"note: {each.text}" for each in odd if each.lists[-1] == name]
