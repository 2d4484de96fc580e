"""The cases on which an implementation is checked: drawn by a seed, the same for every student."""

from __future__ import annotations

import numpy as np

from minideconv.testing.operations.operation import Case, Operation

__all__ = ["drawn_cases"]

KEPT = 20
"""Of so many operations the drawn cases are kept."""

_DRAWN: dict[tuple[str, int, int], tuple[Operation, dict[str, list[Case]]]] = {}


def drawn_cases(operation: Operation, examples: int, seed: int) -> dict[str, list[Case]]:
    """Return cases for each family; those of the last few operations are kept."""
    key = operation.name, examples, seed
    known = _DRAWN.get(key)
    if known is not None and known[0] is operation:
        return known[1]
    rng = np.random.default_rng([seed, len(operation.name)])

    def integer(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    found: dict[str, list[Case]] = {family: [] for family in operation.families}
    for attempt in range(60 * examples * len(found)):
        geometry = operation.draw(integer)
        cases = found[operation.family(geometry)]
        if len(cases) < examples:
            kind = operation.kind_for(geometry, attempt)
            cases.append(operation.case(geometry, int(rng.integers(2**16)), kind))
        if all(len(cases) == examples for cases in found.values()):
            break
    for geometry in operation.always:
        if cases := found[operation.family(geometry)]:
            cases[-1] = operation.case(geometry, 1, operation.kind_for(geometry, 0))
    drawn = {f: sorted(cases, key=lambda case: case.numbers) for f, cases in found.items()}
    while len(_DRAWN) >= KEPT:
        del _DRAWN[next(iter(_DRAWN))]
    _DRAWN[key] = operation, drawn
    return drawn
