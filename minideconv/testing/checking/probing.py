"""The fixed cases on which a student's function is set beside the mistakes of the bank."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from minideconv.testing.checking.calls import Call, StudentFault
from minideconv.testing.checking.compare import narrowed
from minideconv.testing.checking.features import Feature, described, features
from minideconv.testing.error_kinds import Fails, error_kind
from minideconv.testing.operations.operation import (
    Array,
    Arrays,
    Case,
    Expected,
    Operation,
    Settings,
)

if TYPE_CHECKING:
    from minideconv.testing.mistakes.bank import Mistake

__all__ = [
    "Probe",
    "Values",
    "prepared",
    "probes",
    "sized_probes",
    "tried",
    "unusual_probes",
    "usual_probes",
    "value_of",
]

Values = Callable[[Arrays, Settings], Array]

PROBES = 12
"""Probes for each family."""


@dataclass(frozen=True)
class Probe:
    """A case, what must come out, and what came out of the student's function.

    ``features`` are those that name a mistake, ``described`` those that describe one. ``got`` is
    None where it raised, ``error`` is then the kind of error.
    """

    case: Case
    arguments: tuple[Arrays, Settings]
    right: Mapping[str, Expected]
    features: list[Feature]
    described: list[Feature]
    family: str
    got: Mapping[str, Array] | None = None
    error: str = ""
    memo: dict[int, Array | Sequence[str]] = field(default_factory=dict, repr=False)
    stacks: dict[int, tuple[Any, list[Any]]] = field(default_factory=dict, repr=False)

    def value(self, mistake: Mistake) -> Array | None:
        """Return what a mistake gives here; None if such code fails."""
        result = self._result(mistake)
        return result if isinstance(result, np.ndarray) else None

    def fault(self, mistake: Mistake) -> Sequence[str]:
        """Return the kinds of error with which such code may fail here; none if it does not."""
        result = self._result(mistake)
        return () if isinstance(result, np.ndarray) else result

    def _result(self, mistake: Mistake) -> Array | Sequence[str]:
        """Work out what a mistake does here, once."""
        if id(mistake) not in self.memo:
            self.memo[id(mistake)] = result_of(mistake.values, self.arguments)
        return self.memo[id(mistake)]


def probes(operation: Operation, count: int | None = None) -> list[Case]:
    """Return the fixed cases: the families in turn, two of three of them telling ones.

    Of those that are drawn such are taken as have features that few have so far.
    """
    families = operation.families
    count = PROBES * len(families) if count is None else count
    lots = _drawn(operation)
    seen: Counter[tuple[int, bool]] = Counter()
    found = []
    for place in range(count):
        family, telling = families[place % len(families)], place // len(families) % 3 != 2
        lot = lots[family, telling] or lots[family, not telling]
        if not lot:
            continue
        # Seeds that are no multiple of 3 leave nothing out; one probe in eight does.
        seed = 3 * place + (place % 8 != 7)
        best = max(lot, key=lambda drawn: sum(1 / (1 + seen[mark]) for mark in drawn[1]))
        seen.update(best[1])
        kind = operation.kind_for(best[0], place // len(families))
        found.append(operation.case(best[0], seed, kind))
        lot.remove(best)
    return found


_Drawn = tuple[Any, list[tuple[int, bool]]]
"""A geometry and its features, by number."""


def _drawn(operation: Operation) -> dict[tuple[str, bool], list[_Drawn]]:
    """Draw geometries by their family, and by whether they are telling."""
    source = random.Random(20151213)
    lots: dict[tuple[str, bool], dict[Any, _Drawn]] = {
        (family, telling): {} for family in operation.families for telling in (True, False)
    }
    for attempt in range(20000):
        geometry = operation.draw(source.randint)
        lot = lots[operation.family(geometry), operation.telling(geometry)]
        if len(lot) < 2 * PROBES and geometry not in lot:
            marks = features(operation.case(geometry, 1))
            lot[geometry] = geometry, [(i, f[2]) for i, f in enumerate(marks)]
        # Simple families are drawn seldom, those of one case never again.
        if attempt > 2000 and all(
            len(lots[f, True]) + len(lots[f, False]) >= 2 * PROBES for f in operation.families
        ):
            break
    return {key: list(lot.values()) for key, lot in lots.items()}


def prepared(operation: Operation, cases: Sequence[Case]) -> list[Probe]:
    """Work out all that does not depend on the student's function."""
    return [
        Probe(
            case,
            operation.call_arguments(case),
            operation.expected(case),
            features(case),
            described(case),
            operation.family(case.geometry),
        )
        for case in cases
    ]


_PREPARED: dict[tuple[str, bool], tuple[Operation, list[Probe]]] = {}


def usual_probes(operation: Operation) -> list[Probe]:
    """Return the fixed probes; the bank's values on them are kept with them."""
    return _kept(operation, sized=False)


def unusual_probes(operation: Operation) -> list[Probe]:
    """Return those with numbers of unusual size."""
    return _kept(operation, sized=True)


def _kept(operation: Operation, sized: bool) -> list[Probe]:
    key = operation.name, sized
    known = _PREPARED.get(key)
    if known is None or known[0] is not operation:
        cases = sized_probes(operation) if sized else probes(operation)
        known = _PREPARED[key] = operation, prepared(operation, cases)
    return known[1]


def sized_probes(operation: Operation) -> list[Case]:
    """Return geometries of probes with float32 numbers of each unusual size."""
    return [
        operation.sized_case(case.geometry, number, size)
        for number, case in enumerate(probes(operation, 2 * len(operation.families)))
        for size in operation.sizes
    ]


def tried(operation: Operation, call: Call, asked: Sequence[Probe]) -> list[Probe]:
    """Return the probes with what the function makes of them.

    None at all if it does not come back from one, or takes its process with it: once is enough.
    """
    seen = []
    for probe in asked:
        got: Mapping[str, Array] | None = None
        error = ""
        try:
            arrays, settings = operation.call_arguments(probe.case)
            given = next(a.dtype for a in arrays.values() if a is not None and a.dtype.kind == "f")
            outputs = call(arrays, settings).outputs
            got = {name: narrowed(value, given) for name, value in outputs.items()}
        except StudentFault as fault:
            if fault.kind == "absent":
                continue
            if fault.kind not in ("raised", "returned"):
                return []
            error = error_kind(str(fault))
        seen.append(replace(probe, got=got, error=error))
    return seen


def value_of(values: Values, arguments: tuple[Arrays, Settings]) -> Array | None:
    """Return what a mistake gives for these arguments; None where such code fails."""
    result = result_of(values, arguments)
    return result if isinstance(result, np.ndarray) else None


def result_of(values: Values, arguments: tuple[Arrays, Settings]) -> Array | Sequence[str]:
    """Return what a mistake gives for these arguments, or the kinds of error that it may raise."""
    arrays, settings = arguments
    try:
        with np.errstate(all="ignore"):
            return np.asarray(values(dict(arrays), dict(settings)))
    except Fails as failure:
        return failure.kinds
    except Exception as error:
        return (error_kind(f"{type(error).__name__}: {error}"),)
