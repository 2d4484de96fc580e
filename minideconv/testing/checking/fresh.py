"""Other cases than the probes: what is said of a function must hold on them, too.

Features tell a few dozen probes apart by chance now and then. So a condition is said only if it
holds on as many cases again that meet it, half of them such as are most like those that fail.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minideconv.testing.checking.features import Condition, Feature, described
from minideconv.testing.checking.probing import Probe, prepared, usual_probes
from minideconv.testing.operations.operation import Case, Operation

__all__ = ["Fresh"]

ASKED = 30
"""Cases that a condition must hold on; where there are fewer, it is not said."""
POOL = 500
"""Geometries that they are taken from."""
SEED = 20151216


class Fresh:
    """A function on cases that are no probes, each tried once, when it is wanted.

    Parameters
    ----------
    operation : Operation
    answer : callable
        ``answer(probes)``: the same with what the function makes of them; fewer if it failed.
    sized : bool
        Whether the numbers are of unusual size.
    """

    def __init__(
        self,
        operation: Operation,
        answer: Callable[[Sequence[Probe]], Sequence[Probe]],
        *,
        sized: bool = False,
    ) -> None:
        self.operation, self.answer, self.sized = operation, answer, sized
        self._tried: dict[int, Probe | None] = {}

    def holds(
        self,
        where: Condition,
        failing: Sequence[Sequence[Feature]],
        true: Callable[[Probe], bool],
    ) -> bool:
        """Return whether something is true on all of the cases that meet a condition.

        `failing` are the features of the cases in which it is not.
        """
        cases, marks = _cases(self.operation, self.sized)
        meets = [i for i, (_, features) in enumerate(cases) if where.holds(features)]
        if len(meets) < ASKED:
            return False
        wrong = np.array([[f[2] for f in features] for features in failing], bool)
        distance = (marks[meets][:, None, : wrong.shape[1]] != wrong[None]).sum(2).min(1)
        like = [meets[i] for i in np.argsort(distance, kind="stable")[: ASKED // 2]]
        others = [i for i in meets if i not in like][: ASKED - len(like)]
        probes = (self._probe(i) for i in (*like, *others))
        return all(probe is not None and true(probe) for probe in probes)

    def _probe(self, number: int) -> Probe | None:
        if number not in self._tried:
            case = _cases(self.operation, self.sized)[0][number][0]
            seen = self.answer(prepared(self.operation, [case]))
            self._tried[number] = seen[0] if seen else None
        return self._tried[number]


Cases = tuple[list[tuple[Case, list[Feature]]], Any]
_KEPT: dict[tuple[str, bool], tuple[Operation, Cases]] = {}


def _cases(operation: Operation, sized: bool) -> Cases:
    """Return cases with their features, and whether each holds as an array; drawn once."""
    key = operation.name, sized
    if key not in _KEPT or _KEPT[key][0] is not operation:
        found = [(case, described(case)) for case in _drawn(operation, sized)]
        marks = np.array([[f[2] for f in features] for _, features in found], bool)
        _KEPT[key] = operation, (found, marks)
    return _KEPT[key][1]


def _drawn(operation: Operation, sized: bool) -> list[Case]:
    source = random.Random(SEED)
    seen = [probe.case.geometry for probe in usual_probes(operation)]
    cases: list[Case] = []
    for number in range(4 * POOL):  # some operations have few geometries
        geometry = operation.draw(source.randint)
        if geometry in seen:
            continue
        seen.append(geometry)
        sizes = operation.sizes
        cases.append(
            operation.sized_case(geometry, number, sizes[number % len(sizes)])
            if sized
            else operation.case(geometry, number, operation.kind_for(geometry, number))
        )
        if len(cases) == POOL:
            break
    return cases
