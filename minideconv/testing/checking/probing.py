"""The fixed cases on which a student's function is set beside the mistakes of the bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minideconv.testing.checking.calls import Call, StudentFault
from minideconv.testing.operations.operation import Array, Case, Expected, Operation

__all__ = ["Probe", "probes", "sized_probes", "tried"]


@dataclass(frozen=True)
class Probe:
    """A case with the right result and what the student's function made of it."""

    case: Case
    right: Mapping[str, Expected]
    got: Mapping[str, Array] | None  # None: it raised


def probes(operation: Operation, count: int | None = None) -> list[Case]:
    """Return the fixed cases: the families in turn, all with more than one image and channel."""
    count = operation.probes if count is None else count
    rng = np.random.default_rng(20151213)

    def integer(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    wanted = [operation.families[i % len(operation.families)] for i in range(count)]
    found: dict[int, Case] = {}
    for attempt in range(4000):
        if len(found) == count:
            break
        geometry = operation.draw(integer)
        family = operation.family(geometry)
        place = next((i for i, f in enumerate(wanted) if f == family and i not in found), None)
        if place is None:
            continue
        if attempt < 2000 and not operation.telling(geometry):
            continue
        kind = operation.kind_for(geometry, place // len(operation.families))
        found[place] = operation.case(geometry, 3 * attempt + 1, kind)
    return [found[i] for i in sorted(found)]


def sized_probes(operation: Operation) -> list[Case]:
    """Return the geometries of the probes with float32 numbers of each unusual size."""
    return [
        operation.sized_case(case.geometry, number, size)
        for number, case in enumerate(probes(operation))
        for size in operation.sizes
    ]


def tried(operation: Operation, call: Call, cases: Sequence[Case]) -> list[Probe]:
    """Call the function on every case."""
    seen = []
    for case in cases:
        try:
            got: Mapping[str, Array] | None = call(*operation.call_arguments(case)).outputs
        except StudentFault:
            got = None
        seen.append(Probe(case, operation.expected(case), got))
    return seen
