"""Which mistake it is: of the bank's, and of those that show in numbers of unusual size only.

The usual probes are small numbers in float64. Where a function is right on them, it is given
float32 numbers of large mean, of large and of tiny scale, and constants.
"""

from __future__ import annotations

import numpy as np

from minideconv.testing.checking.calls import Call
from minideconv.testing.checking.diagnosis import Named, explained, name_mistakes
from minideconv.testing.checking.probing import sized_probes, tried
from minideconv.testing.mistakes import mistakes
from minideconv.testing.operations.operation import Operation

__all__ = ["name_all"]


def name_all(operation: Operation, call: Call) -> list[Named]:
    """Return for each output that is wrong on some probe which mistakes explain it."""
    with np.errstate(all="ignore"):
        named = name_mistakes(operation, call)
        if named and all(n.mistakes for n in named):
            return named
        known = {
            m.output: Named(m.output, (m,))
            for m in mistakes(operation.name)
            if m.recognise is not None and m.recognise(call)
        }
        if named:
            return [n if n.mistakes else known.get(n.output, n) for n in named]
        sized = tried(operation, call, sized_probes(operation))
        return list(known.values()) or explained(operation, sized)
