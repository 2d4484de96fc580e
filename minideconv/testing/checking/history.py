"""Whether a function remembers earlier calls of equal shapes: a cache that does not ask the values.

A function that keeps what it worked out for a shape gives the same again for the same arguments, so
two equal calls do not show it. But the first call with a shape is right, and the next one, with
other numbers, is wrong.
"""

from __future__ import annotations

import random

import numpy as np

from minideconv.testing.checking.calls import Call, StudentFault
from minideconv.testing.checking.named import is_equal
from minideconv.testing.checking.probing import usual_probes
from minideconv.testing.operations.operation import Case, Operation

__all__ = ["remembers"]

TRIED = 12
"""Geometries that are tried; none has been seen before, or next to none."""
LEAST = 8
"""Those of them on which the first call must be right."""


def remembers(operation: Operation, call: Call) -> bool:
    """Whether the first call with a geometry is right, and the next, with other numbers, wrong."""
    source = random.Random(20151214)
    seen = [probe.case.geometry for probe in usual_probes(operation)]
    first: list[bool] = []
    second: list[bool] = []
    for _ in range(50 * TRIED):  # some operations have few geometries
        geometry = operation.draw(source.randint)
        if geometry in seen or not operation.telling(geometry):
            continue
        seen.append(geometry)
        kind = operation.kind_for(geometry, 0)
        try:
            cases = [operation.case(geometry, seed, kind) for seed in (1, 2)]
            right = [_right(operation, call, case) for case in cases]
        except StudentFault:
            return False
        first.append(right[0])
        second.append(right[1])
        if len(first) == TRIED:
            break
    fresh = np.array(first, bool)
    return bool(fresh.sum() >= LEAST and not np.array(second, bool)[fresh].any())


def _right(operation: Operation, call: Call, case: Case) -> bool:
    got = call(*operation.call_arguments(case)).outputs
    want = operation.expected(case)
    return all(
        is_equal(got[o], want[o], operation.exact) for o in operation.looks_at(case.geometry)
    )
