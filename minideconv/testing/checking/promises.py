"""What every function promises, whatever the geometry, and how each promise is tried.

It is tried on functions that are right on integers: arguments left alone, no state, the precision
and the dtype of the arguments, numbers of any size, arrays of any strides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from minideconv.testing.checking.calls import SHAPE, StudentFault
from minideconv.testing.checking.compare import first_difference
from minideconv.testing.checking.failure import Failure
from minideconv.testing.checking.protocol import Checker
from minideconv.testing.checking.replay import case_text
from minideconv.testing.checking.shrink import shrink
from minideconv.testing.checking.state import broken, keeps_state, spoilt_cache, stateful
from minideconv.testing.operations.operation import Array, Case, Expected

__all__ = [
    "PROMISES",
    "broken_promise",
    "in_float32",
    "promised",
    "promises",
    "unchanged",
]

SIZES = "numbers of any size"
PROMISES = ("arguments unchanged", "no state", "float64", "float32", SIZES, "any strides")
"""What every function promises, in the order in which it is tried."""

SMALLER = 2.0**-9
"""How far results may be off, in units of their terms, that were rounded to float16 on the way."""


def promised(checker: Checker) -> list[str]:
    """Return the promises that there are for an operation."""
    left_out = {SIZES: not checker.operation.sizes, "float64": not checker.operation.double}
    return [promise for promise in PROMISES if not left_out.get(promise)]


def promises(checker: Checker) -> Iterator[tuple[str, int, Failure | None]]:
    """Yield of each promise its name, how many cases were tried, and what is wrong."""
    cases = [
        case for cases in checker.cases().values() for case in cases[:: max(1, len(cases) // 3)]
    ]
    cases = [case for case in cases if _is_there(checker, case)]
    checks = dict(zip(
        PROMISES, (unchanged, _no_state, _float64, _float32, _any_size, _any_strides), strict=True
    ))  # fmt: skip
    for name in promised(checker):
        tried = _sized_cases(checker, cases) if name == SIZES else cases
        if tried:
            found = (checks[name](checker, case) for case in tried)
            yield name, len(tried), next((f for f in found if f is not None), None)


def _sized_cases(checker: Checker, cases: Sequence[Case]) -> list[Case]:
    """Return cases of the same geometries with numbers of unusual size."""
    return [
        checker.operation.sized_case(case.geometry, number, size)
        for number, case in enumerate(cases)
        for size in checker.operation.sizes
    ]


def _is_there(checker: Checker, case: Case) -> bool:
    """Whether the implementation has what a case needs."""
    before = checker.absent
    return checker.wrong(case) is not None or checker.absent == before


# Arguments and state ----------------------------------------------------------------------------


def unchanged(checker: Checker, case: Case) -> Failure | None:
    """Return which argument a call changes, and a small case of it."""
    try:
        returned = checker.call(*checker.operation.call_arguments(case))
    except StudentFault:
        return None
    if not returned.changed:
        return None
    role = returned.changed[0]
    shape, what = role.endswith(SHAPE), checker.names(role.removesuffix(SHAPE))
    small = shrink(
        checker.operation, case, lambda other: _changes(checker, other, returned.changed)
    )
    return broken(
        checker,
        small,
        "changed",
        f"it changes {'the shape of ' * shape}its argument {what}",
        f"{what}.shape = ... is seen by the caller; {what}.reshape(...) gives a view of its own."
        if shape
        else "Arrays are lent to a function: it must make its own copy to write to.",
        "argument changed in place",
    )


def _changes(checker: Checker, case: Case, roles: Sequence[str]) -> bool:
    try:
        changed = checker.call(*checker.operation.call_arguments(case)).changed
    except StudentFault:
        return False
    return tuple(changed) == tuple(roles)


def _no_state(checker: Checker, case: Case) -> Failure | None:
    return stateful(checker, case) if keeps_state(checker, case) else spoilt_cache(checker, case)


# Numbers ----------------------------------------------------------------------------------------


def _float64(checker: Checker, case: Case) -> Failure | None:
    """Numbers that round: what is computed in float32 in between, or cut to integers, shows."""
    operation = checker.operation
    if checker.wrong(case) is not None:  # its dtype, where all numbers are right
        return checker.explain(case, operation.family(case.geometry))
    if operation.kind_for(case.geometry, 0) not in ("integer", "distinct"):
        return None
    drawn = operation.case(case.geometry, case.numbers, "normal")
    failure = checker.wrong(drawn)
    if failure is None or failure.kind != "value":
        return failure
    failure = replace(
        failure,
        call=checker.written(drawn),
        replay=checker.replay.format(case=case_text(operation, drawn)),
    )
    output = failure.title.split(" ")[0]
    if output in operation.outputs and "got" in failure.arrays:
        got, want = failure.arrays["got"], operation.expected(drawn)[output]
        if (np.abs(got - want.value) <= SMALLER * want.terms).all():
            return replace(
                failure,
                title=f"{failure.title} in float64, by rounding",
                sentence="Something on the way is of a smaller type, float32 or float16.",
                mistakes=("computed in a smaller type",),
            )
        if (got == np.rint(got)).all() and (want.value != np.rint(want.value)).any():
            return replace(
                failure,
                title=f"{output} is cut to integers",
                sentence="It is kept in an array of integers on the way, such as one that takes "
                "its dtype from indices; it must have the dtype of the arguments.",
                mistakes=("cut to integers",),
            )
    failure = checker.explain(drawn, operation.family(case.geometry))
    if failure.mistakes:
        return failure
    return replace(failure, title=f"{failure.title} for numbers that are no integers")


def _float32(checker: Checker, case: Case) -> Failure | None:
    case = in_float32(case)
    if checker.wrong(case) is None:
        return None
    failure = checker.explain(case, checker.operation.family(case.geometry))
    if failure.mistakes:
        return failure
    return replace(failure, title=f"{failure.title} in float32")


def in_float32(case: Case) -> Case:
    """Return a case with its numbers in float32."""
    arrays = {role: None if a is None else a.astype(np.float32) for role, a in case.arrays.items()}
    return Case(case.geometry, arrays)


def _any_size(checker: Checker, case: Case) -> Failure | None:
    failure = checker.wrong(case)
    if failure is None or failure.kind == "dtype":  # the dtype is the check float32's affair
        return None
    return checker.explain(case, checker.operation.family(case.geometry))


# Memory -----------------------------------------------------------------------------------------


def _any_strides(checker: Checker, case: Case) -> Failure | None:
    if _in_any_layout(checker, case) is None:
        return None
    small = shrink(
        checker.operation, case, lambda other: _in_any_layout(checker, other) is not None
    )
    failure = broken(
        checker,
        small,
        "strides",
        "the memory layout of an argument changes the result",
        "A sliced or transposed array holds the same numbers as a copy of it.",
        "memory layout of an argument assumed",
    )
    return replace(failure, entry=_in_any_layout(checker, small) or "")


def _in_any_layout(checker: Checker, case: Case) -> str | None:
    """Return how a call with views differs from one with copies; None if it does not."""
    arguments = checker.operation.call_arguments(case)
    try:
        plain = checker.call(*arguments).outputs
    except StudentFault:
        return None
    try:
        other = checker.call(*arguments, strided=True).outputs
    except StudentFault as fault:
        return f"With views in place of copies: {fault}"
    if _same_outputs(checker, case, plain, other):
        return None
    return "With views in place of copies the numbers are others."


def _same_outputs(
    checker: Checker, case: Case, a: Mapping[str, Array], b: Mapping[str, Array]
) -> bool:
    """Whether two results agree: to the last bit, or where sums are rounded, but for that."""
    operation = checker.operation
    if operation.exact:
        return all(np.array_equal(a[o], b[o]) for o in operation.outputs)
    want = operation.expected(case)
    return all(
        a[o].shape == b[o].shape == want[o].terms.shape
        and first_difference(Expected(a[o], want[o].terms), b[o], exact=False) is None
        for o in operation.outputs
    )


def broken_promise(checker: Checker, case: Case) -> Failure | None:
    """Return which promise a call whose result is right does not keep."""
    checks = (unchanged, _no_state, _any_strides)
    return next((f for check in checks if (f := check(checker, case)) is not None), None)
