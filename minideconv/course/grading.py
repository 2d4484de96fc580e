"""Grade a submission for a unit: all its checks, one after the other, each with its points."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from minideconv._version import __version__
from minideconv.course.checker import TOO_LONG, CourseChecker, Ended, Stop, right_call
from minideconv.course.results import OutcomeResult, Result, clean
from minideconv.course.settings import VISIBLE_SEED, CourseSettings, hidden_seed
from minideconv.course.submission import unusable
from minideconv.course.unit import Unit
from minideconv.errors import DataError
from minideconv.testing.checking.calls import Call, StudentFault
from minideconv.testing.checking.failure import Failure
from minideconv.testing.checking.run import Checker
from minideconv.testing.operations import OPERATIONS, Operation

__all__ = ["OpenWorker", "StudentCode", "grade", "outcome_names", "planned"]


class StudentCode(Protocol):
    """A student's file that can be called."""

    def call(self, operation: Operation) -> Call:
        """Return a call of the function of that operation."""
        ...

    def names(self, operation: Operation) -> Callable[[str], str]:
        """Return the student's own names for its arguments."""
        ...


OpenWorker = Callable[[Path, CourseSettings], AbstractContextManager[StudentCode]]
Report = Callable[[Result], None]


@lru_cache
def outcome_names(operation: str) -> tuple[str, ...]:
    """Return the names of all outcomes of an operation, in order: those of the naive loop."""
    known = OPERATIONS[operation]
    with np.errstate(all="ignore"):
        return tuple(o.name for o in Checker(known, right_call(known), examples=1).run())


def planned(unit: Unit, settings: CourseSettings, hidden: bool) -> tuple[OutcomeResult, ...]:
    """Return every check of a unit, none of them run.

    Raises
    ------
    DataError
        If the unit has an operation that the kit does not know, or a weight names no check.
    """
    for operation in unit.operations:
        if operation not in OPERATIONS:
            known = ", ".join(OPERATIONS)
            raise DataError(f"{unit.name}: {operation!r} is no operation; there are {known}")
    names = [name for operation in unit.operations for name in outcome_names(operation)]
    weights = {**unit.weights, **settings.weights}
    for name in unit.weights:
        operation, _, rest = name.partition("/")
        if name not in names and (rest != "*" or operation not in unit.operations):
            raise DataError(f"{unit.name}: {name} has a weight but is no check of this unit")

    def points(name: str) -> float:
        return weights.get(name, weights.get(f"{name.partition('/')[0]}/*", 1.0))

    share = settings.hidden_share if hidden else 0.0
    visible = tuple(OutcomeResult(name, points(name) * (1 - share)) for name in names)
    if not hidden:
        return visible
    return (*visible, *(OutcomeResult(name, points(name) * share, hidden=True) for name in names))


def grade(
    unit: Unit,
    submission: Path,
    settings: CourseSettings,
    open_worker: OpenWorker,
    *,
    hidden: bool = False,
    student: str = "",
    replay: str = "{case}",
    report: Report = lambda result: None,
) -> Result:
    """Grade what was handed in.

    Parameters
    ----------
    unit : Unit
        What it was handed in for.
    submission : Path
        The student's file, or a folder that holds it.
    settings : CourseSettings
        Weights, limits, numbers of cases.
    open_worker : callable
        ``open_worker(file, settings)`` runs the file somewhere, as a context manager.
    hidden : bool
        Whether the hidden checks are run as well.
    student : str
        Who it is.
    replay : str
        How a case is shown again, with ``{case}`` in it.
    report : callable
        Is given the result before the first check and after each.

    Returns
    -------
    Result
        Of state "done"; of state "fault" if the grader itself failed, whatever the reason.

    Raises
    ------
    DataError, UsageError
        If the unit or the course is wrong, before anything is run.
    """
    begin = time.monotonic()
    if hidden:
        hidden_seed(settings, unit.operations[0])  # refuses a course without a secret
    versions = {
        "minideconv": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    result = Result(
        unit.name,
        unit.title,
        planned(unit, settings, hidden),
        student=student,
        seed=VISIBLE_SEED,
        versions=versions,
        hidden_visibility=settings.hidden_visibility,
    )
    report(result)
    try:
        file, problem = unusable(submission, unit)
        if problem:
            result = _unrun(replace(result, problems=(clean(problem),)), "the file cannot be run")
        else:
            with np.errstate(all="ignore"), open_worker(file, settings) as code:
                for found in _checks(unit, code, settings, result, replay, begin):
                    result = found
                    report(replace(result, seconds=time.monotonic() - begin))
        result = replace(result, state="done", seconds=time.monotonic() - begin)
    except Exception as error:  # whatever it is, it is no fault of the student's
        text = f"{type(error).__name__}: {error}"
        result = replace(result.broken(text), seconds=time.monotonic() - begin)
    report(result)
    return result


def _unrun(result: Result, why: str) -> Result:
    """Say of all checks that are not run yet why they will not be."""
    return result.with_outcomes(
        replace(o, title=o.title or why) for o in result.outcomes if o.status == "not run"
    )


def _checks(
    unit: Unit,
    code: StudentCode,
    settings: CourseSettings,
    result: Result,
    replay: str,
    begin: float,
) -> Iterator[Result]:
    """Yield the result after each check."""
    end = begin + settings.seconds
    ended: dict[str, str] = {}  # operation -> why no more of it is called
    for hidden in sorted({o.hidden for o in result.outcomes}):
        for operation in unit.operations:
            waiting = {
                o.name: o
                for o in result.outcomes
                if o.hidden == hidden and o.operation == operation
            }
            known = OPERATIONS[operation]
            checker = CourseChecker(
                known,
                code.call(known),
                names=code.names(known),
                examples=settings.hidden_examples if hidden else settings.examples,
                seed=hidden_seed(settings, operation) if hidden else VISIBLE_SEED,
                replay=replay,
                end=end,
                ended=ended.get(operation) or (TOO_LONG if time.monotonic() > end else ""),
            )
            since = time.monotonic()
            try:
                for outcome in checker.run():
                    found = replace(
                        waiting.pop(outcome.name),
                        tried=outcome.tried,
                        seconds=time.monotonic() - since,
                        status="passed",
                    )
                    if outcome.failure is not None:
                        found = found.failed(outcome.failure)
                    since = time.monotonic()
                    result = result.with_outcomes([found])
                    yield result
            except (Stop, StudentFault) as fault:
                # While a promise was tried: that which has not come yet.
                name = next(iter(waiting))
                failure = Failure(operation, name.partition("/")[2], fault.kind, str(fault))
                found = replace(waiting.pop(name), seconds=time.monotonic() - since)
                result = result.with_outcomes([found.failed(failure)])
                checker.ended = str(fault)
            except Ended:
                pass
            ended[operation] = checker.ended
            why = clean(checker.ended or "tried once every kind of geometry is right", 300)
            result = result.with_outcomes(replace(o, title=why) for o in waiting.values())
            if checker.whole:
                result = replace(result, problems=(clean(checker.ended),))
                yield _unrun(result, "the file cannot be run")
                return
            yield result
