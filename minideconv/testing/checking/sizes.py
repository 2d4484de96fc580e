"""Which mistake it is that shows in numbers of unusual size only.

The usual probes are small numbers in float64, on which such a function is right. Here it is given
float32 numbers of large mean, of large and of tiny scale, and constants.
"""

from __future__ import annotations

import numpy as np

from minideconv.testing.checking.calls import Call
from minideconv.testing.checking.diagnosis import Named, explained, probes, tried
from minideconv.testing.mistakes import mistakes
from minideconv.testing.operations.operation import Case, Operation

__all__ = ["name_sized"]


def name_sized(operation: Operation, call: Call) -> list[Named]:
    """Return which mistakes explain a function that is right on the usual probes."""
    with np.errstate(all="ignore"):
        known = [
            Named(m.output, (m,))
            for m in mistakes(operation.name)
            if m.recognise is not None and m.recognise(call)
        ]
        return known or explained(operation, tried(operation, call, sized_probes(operation)))


def sized_probes(operation: Operation) -> list[Case]:
    """Return the geometries of the usual probes with numbers of each unusual size."""
    return [
        operation.sized_case(case.geometry, number, size)
        for number, case in enumerate(probes(operation))
        for size in operation.sizes
    ]
