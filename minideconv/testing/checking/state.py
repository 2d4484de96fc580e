"""What a function keeps from one call to the next: how it is found, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from minideconv.testing.checking.calls import StudentFault
from minideconv.testing.checking.failure import Failure
from minideconv.testing.checking.memory import NEVER_WRITTEN, never_written
from minideconv.testing.checking.protocol import Checker
from minideconv.testing.checking.replay import case_text
from minideconv.testing.checking.shrink import shrink
from minideconv.testing.operations.operation import Array, Case

__all__ = ["broken", "keeps_state", "remembering", "spoilt_cache", "stateful"]

STATE = "state kept between calls"
CACHE = "the backward changes its cache"


def _three_calls(checker: Checker, case: Case) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
    """Return the results of two calls with equal arguments, and another call between them."""
    operation = checker.operation
    other = operation.case(case.geometry, 1, operation.kind_for(case.geometry, 0))
    first = checker.call(*operation.call_arguments(case)).outputs
    checker.call(*operation.call_arguments(other))
    return first, checker.call(*operation.call_arguments(case)).outputs


def keeps_state(checker: Checker, case: Case) -> bool:
    """Whether a result depends on an earlier call, or on chance."""
    try:
        first, second = _three_calls(checker, case)
    except StudentFault:
        return False
    return not all(
        first[o].shape == second[o].shape
        and np.allclose(first[o], second[o], rtol=1e-5, atol=0, equal_nan=True)
        for o in checker.operation.outputs
    )


def stateful(checker: Checker, case: Case) -> Failure:
    """Say that two calls with equal arguments differ, and why if memory tells."""
    try:
        results = _three_calls(checker, case)
    except StudentFault:
        results = {}, {}
    if any(never_written(array) for outputs in results for array in outputs.values()):
        return broken(checker, case, "state", *NEVER_WRITTEN, NEVER_WRITTEN[0])
    return broken(
        checker,
        case,
        "state",
        STATE,
        "Two calls with equal arguments differ: something is kept, or drawn at random.",
        STATE,
    )


def remembering(checker: Checker, calls: tuple[Case, Case]) -> Failure:
    """Say that a call is wrong after another one, and show both."""
    before, case = calls
    if before.geometry != case.geometry:  # no numbers are kept
        before = _of_zeros(before)
    if checker.wrong(_of_zeros(case)) is not None:
        case = _of_zeros(case)
    failure = broken(
        checker,
        case,
        "state",
        STATE,
        "The second call is given what was kept of the first: the key of what is kept must hold "
        "all that it depends on, such as sizes, kernel, stride and padding, and no numbers.",
        STATE,
    )
    wrong = checker.wrong(case)
    first = checker.replay.format(case=case_text(checker.operation, before))
    return replace(
        failure,
        entry="" if wrong is None else wrong.entry or wrong.title,
        call=f"{checker.written(before)}; {failure.call}",
        replay=f"{first}; {failure.replay}",
    )


def _of_zeros(case: Case) -> Case:
    zeros = {role: None if a is None else np.zeros_like(a) for role, a in case.arrays.items()}
    return Case(case.geometry, zeros)


# The cache --------------------------------------------------------------------------------------


def spoilt_cache(checker: Checker, case: Case) -> Failure | None:
    """Return that a second backward with the same cache gives other gradients, if it does."""
    entry = _second_backward(checker, case)
    if not entry:
        return None
    small = shrink(checker.operation, case, lambda other: bool(_second_backward(checker, other)))
    failure = broken(
        checker,
        small,
        "cache",
        CACHE,
        "A second call with the same cache is wrong: the first one wrote to an array that the "
        "cache holds (xh *= ..., or by a view). Write to a copy.",
        CACHE,
    )
    return replace(
        failure,
        entry=_second_backward(checker, small),
        call=f"{failure.call}; the same backward again",
    )


def _second_backward(checker: Checker, case: Case) -> str:
    """Return how a second backward with one cache differs from the first; "" if it does not.

    One that refuses, as PyTorch's graph of one backward does, is no mistake.
    """
    operation = checker.operation
    if not operation.again:
        return ""
    arrays, settings = operation.call_arguments(case)
    try:
        first = checker.call(arrays, settings).outputs
    except StudentFault:
        return ""
    try:
        second = checker.call(arrays, {**settings, "again": True}).outputs
    except StudentFault:
        return ""
    for output in operation.outputs:
        one, two = first[output], second[output]
        if one.shape != two.shape:
            return f"{output} has shape {two.shape} the second time, {one.shape} the first"
        small = 1e-9 * float(np.abs(one).max(initial=0))
        for index in np.argwhere(~np.isclose(two, one, 1e-5, small, equal_nan=True)):
            place, at = ", ".join(map(str, index)), tuple(index)
            return f"{output}[{place}] is {two[at]:.9g} the second time, {one[at]:.9g} the first"
    return ""


def broken(
    checker: Checker, case: Case, kind: str, title: str, sentence: str, mistake: str
) -> Failure:
    """Return that a call does not keep a promise."""
    return Failure(
        checker.operation.name,
        checker.operation.family(case.geometry),
        kind,
        title,
        sentence,
        call=checker.written(case),
        replay=checker.replay.format(case=case_text(checker.operation, case)),
        mistakes=(mistake,),
    )
