"""Functions that add to memory which they have not set: np.empty in place of np.zeros."""

from __future__ import annotations

import numpy as np

from minideconv.testing.checking.calls import Call, StudentFault
from minideconv.testing.checking.memory import spoil_free_memory
from minideconv.testing.operations.operation import Case, Operation

__all__ = ["UNSET", "reads_free_memory"]

MARKS = (2.0**20, 2.0**30)
"""Numbers left in free memory, far from those of any right result."""

UNSET = (
    "memory not set to zero",
    "np.empty leaves whatever numbers were in its memory; what is added to, or written to in some "
    "places only, begins as np.zeros.",
)
"""Name and sentence of a mistake that shows where freed memory holds other numbers."""


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
