"""Which mistake it is: the student's outputs beside those of every mistake of the bank.

The function is called on a few fixed cases, the probes. A mistake is named only if it explains
every value of an output on every probe; nothing looks at the code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from minideconv.testing.checking.calls import Call
from minideconv.testing.checking.compare import first_difference
from minideconv.testing.checking.probing import Probe, probes, tried
from minideconv.testing.mistakes import Mistake, mistakes
from minideconv.testing.operations.operation import Array, Expected, Operation

__all__ = ["Named", "name_mistakes", "probes"]


@dataclass(frozen=True)
class Named:
    """The mistakes that explain one output, none if none does."""

    output: str
    mistakes: tuple[Mistake, ...]
    when: str = ""

    @property
    def title(self) -> str:
        """The names, joined."""
        names = " and ".join(m.name for m in self.mistakes)
        return f"{names} {self.when}".strip()


def name_mistakes(operation: Operation, call: Call) -> list[Named]:
    """Return for each output that is wrong on some probe which mistakes explain it."""
    return explained(operation, tried(operation, call, probes(operation)))


def explained(operation: Operation, seen: Sequence[Probe]) -> list[Named]:
    """Return for each output that is wrong on some probe which mistakes explain it."""
    if all(probe.got is None for probe in seen):
        return []
    named = []
    for output in operation.outputs:
        # Which output failed where the function raised is unknown; it is wrong if some result is.
        results = [p for p in seen if p.got is not None]
        if all(_equal(p, output, p.right[output].value, operation) for p in results):
            continue
        named.append(_explain(operation, output, seen))
    return named


def _explain(operation: Operation, output: str, seen: Sequence[Probe]) -> Named:
    bank = mistakes(operation.name, output)
    for mistake in bank:
        if all(_explains(mistake.values, p, output, operation) for p in seen):
            return Named(output, (mistake,))
    # Right in some families: the mistake shows only in the others.
    for mistake in bank:
        when = _only_in(mistake, seen, output, operation)
        if when:
            return Named(output, (mistake,), when)
    for pair in combinations([m for m in bank if m.change is not None], 2):
        if all(_explains(_both(pair), p, output, operation) for p in seen):
            return Named(output, pair)
    return Named(output, ())


def _only_in(mistake: Mistake, seen: Sequence[Probe], output: str, operation: Operation) -> str:
    """Return the families that the mistake explains, if the student is right in all others."""
    wrong = set()
    for family in operation.families:
        here = [p for p in seen if operation.family(p.case.geometry) == family]
        if all(_equal(p, output, p.right[output].value, operation) for p in here):
            continue
        if not all(_explains(mistake.values, p, output, operation) for p in here):
            return ""
        wrong.add(family)
    right = [family for family in operation.families if family not in wrong]
    return f"(only in the family {', '.join(sorted(wrong))})" if wrong and right else ""


def _both(pair: tuple[Mistake, Mistake]) -> Any:
    first, second = pair

    def values(arrays: Any, settings: Any) -> Array:
        assert second.change is not None
        return first.values(*second.change(arrays, settings))

    return values


def _explains(values: Any, probe: Probe, output: str, operation: Operation) -> bool:
    try:
        value = values(*operation.call_arguments(probe.case))
    except Exception:  # where such code fails, so must the student's
        return probe.got is None
    return _equal(probe, output, value, operation)


def _equal(probe: Probe, output: str, value: Array, operation: Operation) -> bool:
    got = None if probe.got is None else probe.got[output]
    if got is None or got.shape != value.shape:
        return False
    terms = probe.right[output].terms
    if terms.shape != value.shape:
        terms = np.full(value.shape, float(np.max(terms, initial=0)))
    return first_difference(Expected(value, terms), got, exact=operation.exact) is None


def families_right(
    operation: Operation, seen: Sequence[Probe], output: str
) -> Iterator[tuple[str, bool]]:
    """Yield each family, and whether the output is right in it."""
    for family in operation.families:
        here = [p for p in seen if operation.family(p.case.geometry) == family]
        if here:
            yield family, all(_equal(p, output, p.right[output].value, operation) for p in here)
