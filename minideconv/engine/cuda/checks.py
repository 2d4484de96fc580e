"""What a kernel finds wrong with its input, and when the host reads it.

A GPU cannot raise an error. A kernel that meets a label that is no class leaves that pixel out and
counts the label in a small table on the device, which stays there from call to call. To raise one,
the host must read the table, and wait for all work that is under way. So there are two ways:

* normally `enforce` reads the table behind each call and raises the usual error;
* inside ``with deferred():`` nothing is read. A training loop calls `raise_deferred` once in many
  steps, and then gets the same sentence about all of them.

A table outlives the arrays of a step: a recorded CUDA graph goes on adding to it when it is
replayed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minideconv.backend import Array, Device, device_of, get_xp, to_cpu
from minideconv.backend.choice import Block, ContextValue
from minideconv.backend.dispatch import on_device_of
from minideconv.ops.cross_entropy_checks import check_class_weights, check_labels, wrong_labels

__all__ = ["VALUES", "deferred", "enforce", "raise_deferred", "table"]

VALUES = 256
"""Labels that are counted by value; behind them: labels below, labels above, weights of classes."""


class LabelCheck(NamedTuple):
    """Whose labels a table counts, and which are legal."""

    caller: str
    classes: int
    ignore_index: int


_tables: dict[tuple[Device, LabelCheck], Array] = {}
_deferring = ContextValue("minideconv's deferred checks", False)


def deferred() -> Block:
    """Count wrong labels inside a ``with`` block; `raise_deferred` raises the error."""
    return _deferring.using(True)


def table(like: Array, check: LabelCheck) -> Array:
    """Return the counters, uint32, on the device of `like`, that a kernel adds to."""
    key = (device_of(like), check)
    if key not in _tables:
        _tables[key] = get_xp(like).zeros(VALUES + 3, np.uint32)
    return _tables[key]


def enforce(check: LabelCheck, target: Array, weight: Array | None = None) -> None:
    """Raise the error of the call just made, unless errors are deferred."""
    if _deferring.get():
        return
    counts = table(target, check)
    if to_cpu(counts).any():
        counts.fill(0)
        if weight is not None:
            check_class_weights(to_cpu(weight))
        check_labels(to_cpu(target), check.classes, check.ignore_index, check.caller)


def raise_deferred() -> None:
    """Raise the error of all calls since this was last called; nothing if all was well.

    Waits for the device.

    Raises
    ------
    ValueError
        If a label was neither a class nor the one to ignore (the message counts them), or the
        weight of a class was not finite and >= 0.
    """
    wrong = []
    for (_, check), counts in _tables.items():
        found = np.array(to_cpu(counts))
        if found.any():
            with on_device_of(counts):
                counts.fill(0)  # all of them: every kernel that reads a label counts it
            wrong.append((check, found))
    for check, found in wrong:
        if found[-1]:
            raise ValueError(f"{check.caller}: a weight is not finite and >= 0; all must be")
        labels = [(str(value), int(found[value])) for value in np.flatnonzero(found[:VALUES])]
        ends = (("below 0", int(found[VALUES])), (f"above {VALUES - 1}", int(found[VALUES + 1])))
        labels += [(name, times) for name, times in ends if times]
        raise wrong_labels(labels, check.classes, check.ignore_index, check.caller)
