"""Which mistake it is: of the bank's, and of those that show in numbers of unusual size only.

The usual probes are small numbers in float64. Where a function is right on them, it is given
float32 numbers of large mean, of large and of tiny scale, and constants.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from minideconv.testing.checking.calls import Call
from minideconv.testing.checking.diagnosis import Diagnosis, Named, diagnose, explained
from minideconv.testing.checking.fresh import Fresh
from minideconv.testing.checking.probing import tried, unusual_probes
from minideconv.testing.mistakes import mistakes
from minideconv.testing.operations.operation import Operation

__all__ = ["diagnose_all"]


def diagnose_all(operation: Operation, call: Call) -> Diagnosis:
    """Call an implementation on the probes and say what is known of it."""
    with np.errstate(all="ignore"):
        found = diagnose(operation, call)
        if found.remembers or (found.named and all(n.mistakes for n in found.named)):
            return found
        known = {
            m.output: Named(m.output, (m,))
            for m in mistakes(operation.name)
            if m.recognise is not None and m.recognise(call)
        }
        if found.named:
            named = [n if n.mistakes else known.get(n.output, n) for n in found.named]
        else:
            sized = tried(operation, call, unusual_probes(operation))
            fresh = Fresh(operation, partial(tried, operation, call), sized=True)
            named = list(known.values()) or explained(operation, sized, fresh)
        return replace(found, named=tuple(named))
