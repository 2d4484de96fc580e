"""What is wrong with one result of a function, beside the right one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minideconv.testing.checking.calls import Call, StudentFault
from minideconv.testing.checking.compare import first_difference, narrowed
from minideconv.testing.checking.failure import Failure, shown
from minideconv.testing.operations.operation import Array, Case, Expected, Operation

__all__ = [
    "NEVER_WRITTEN",
    "never_written",
    "reads_free_memory",
    "spoil_free_memory",
    "wrong_result",
]

NEVER_WRITTEN = (
    "entries never written to",
    "They hold what was in memory before (np.empty): write every entry, or begin with np.zeros.",
)
"""Name and sentence of a mistake that shows by what is in free memory."""

MARKS = (2.0**20, 2.0**30)
"""Numbers left in free memory, far from those of any right result."""

OWN_DTYPE = "A new array is given the dtype of the arguments; without one it has the library's own."

BYTES = np.float32(-2.71828e38).view(np.uint32)
"""What free memory is filled with: read as a number of any type, it is far from all results."""


def wrong_result(
    operation: Operation,
    output: str,
    want: Expected,
    got: Any,
    dtype: np.dtype[Any],
    geometry: Any,
    *,
    exact: bool,
) -> Failure | None:
    """Return what is wrong with one output for arguments of `dtype`; None if nothing is.

    With `exact` its entries are compared by ``==``, else relative to their terms.
    """
    name, rule = operation.name, operation.rules[output]
    if operation.part is not None and want.value.ndim:
        output, got, want = operation.part(geometry, got, want, _right)
    value = want.value
    if got is None:
        entry = f"{output} is None, must be {shown(value)}"
        return Failure(name, "", "value", f"{output} is None", entry=entry, rule=rule)
    if got.shape != value.shape:
        entry = f"{output} has shape {got.shape}, must be {value.shape}"
        return Failure(name, "", "shape", f"{output} has the wrong shape", entry=entry)
    index = first_difference(want, narrowed(got, dtype), exact=exact)
    if index is not None:
        place = f"[{', '.join(map(str, index))}]" if index else ""
        right = shown(value[index] if value[index].ndim == 0 else value)
        entry = f"{output}{place} is {shown(np.asarray(got[index]))}, must be {right}"
        return Failure(
            name, "", "value", f"{output} is wrong", entry=entry,
            rule=rule, arrays={"got": got, "want": value},
        )  # fmt: skip
    wanted = dtype if value.dtype.kind == "f" else value.dtype
    if value.dtype.kind == "f" and got.dtype != dtype and operation.keeps_dtype:
        entry = f"{output} is {got.dtype} for {dtype} arguments, must be {dtype}"
        return _of_other_type(name, output, entry, f"{got.dtype} in place of {wanted}")
    if value.dtype.kind in "iu" and got.dtype.kind not in "iu":
        entry = f"{output} is {got.dtype}, must be integers"
        return _of_other_type(name, output, entry, f"{got.dtype} in place of integers")
    return None


def _of_other_type(name: str, output: str, entry: str, mistake: str) -> Failure:
    title = f"{output} has the wrong dtype, {mistake}"
    sentence = "" if mistake.endswith("integers") else OWN_DTYPE
    return Failure(name, "", "dtype", title, sentence, entry=entry, mistakes=(mistake,))


def _right(want: Expected, got: Array) -> bool:
    return first_difference(want, got, exact=False) is None


# Memory that is not written to ------------------------------------------------------------------


def spoil_free_memory(sizes: Iterable[int], mark: Any = BYTES) -> None:
    """Fill memory of so many bytes and free it: what np.empty gives is no zeros then."""
    size_of = np.asarray(mark).itemsize
    held = [np.full(-(-size // size_of), mark) for size in sizes for _ in range(8)]
    del held  # all at once: blocks that are freed one by one are one block


def reads_free_memory(operation: Operation, call: Call, case: Case) -> bool:
    """Return whether results follow the numbers in freed memory: np.empty, and then added to."""
    want = operation.expected(case)
    for mark in MARKS:
        spoil_free_memory({8 * e.value.size for e in want.values()}, mark)
        try:
            got = call(*operation.call_arguments(case)).outputs
        except StudentFault:
            return False
        with np.errstate(all="ignore"):
            off = [
                float(np.max(np.abs(got[o] - want[o].value), initial=0))
                for o in operation.looks_at(case.geometry)
                if o in got and got[o].shape == want[o].value.shape
            ]
        if not off or not mark / 2 < max(off) < 64 * mark:
            return False
    return True


def never_written(got: Array) -> bool:
    """Return whether a result holds what free memory was filled with, or next to it."""
    if got.dtype.kind not in "fiu" or got.dtype.itemsize not in (4, 8):
        return False
    known = np.full(got.dtype.itemsize // 4, BYTES).view(got.dtype)[0]
    if got.dtype.kind != "f":
        return bool((got == known).any())
    with np.errstate(all="ignore"):
        return bool((np.abs(got / known - 1) < 1e-3).any())
