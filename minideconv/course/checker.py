"""The checks of an operation on code that may end its own process: they are not tried for ever.

A fault that ended the process (too long, too much memory, an exit) is slow to meet, so the case is
shown as it is and not made smaller, and an operation that was met so twice is not called again. Nor
is one that is still as the skeleton has it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from minideconv.course.markers import NOT_WRITTEN
from minideconv.testing.checking.calls import Call, Returned, StudentFault
from minideconv.testing.checking.failure import Failure
from minideconv.testing.checking.replay import case_text
from minideconv.testing.checking.run import Checker, Outcome
from minideconv.testing.operations.operation import Arrays, Case, Operation, Settings

__all__ = ["TOO_LONG", "UNWRITTEN", "CourseChecker", "Ended", "Stop", "right_call"]

HARMLESS = ("raised", "returned", "absent")
"""Kinds of fault after which the student's process goes on."""
WHOLE = ("syntax", "forbidden")
"""Kinds of fault that are about the whole file."""
UNWRITTEN = "unwritten"
"""Kind of a failure for want of a part of the skeleton that is not written yet."""
_UNWRITTEN = re.compile(rf"raised NotImplementedError: {NOT_WRITTEN}(?: in line \d+ of (.+))?$")
TOO_LONG = "the checks of this unit took too long altogether"
WITHOUT_CASE = ("missing", UNWRITTEN)
"""Kinds of fault that any call would meet."""
STRIKES = 2
"""Faults that ended the process, after which an operation is not called any more."""


class Stop(Exception):
    """A call failed in a way that ended the student's process, or would have."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Ended(Exception):
    """No more checks of this operation."""


def right_call(operation: Operation) -> Call:
    """Return a call of the kit's own naive loop."""

    def call(arrays: Arrays, settings: Settings, *, strided: bool = False) -> Returned:
        dtype = next(a.dtype for a in arrays.values() if a is not None and a.dtype.kind == "f")
        values = {name: e.value for name, e in operation.oracle(arrays, settings).items()}
        cast = {n: v.astype(dtype) if v.dtype.kind == "f" else v for n, v in values.items()}
        return Returned(cast)

    return call


class CourseChecker(Checker):
    """`Checker` with an end.

    Parameters
    ----------
    operation, call, examples, seed, replay
        As for `Checker`.
    end : float
        When to stop calling, by `time.monotonic`.
    ended : str
        Why the operation is not called at all; "" if it is.

    Attributes
    ----------
    ended : str
        Why it is not called any more.
    whole : bool
        Whether that is about the whole file.
    """

    def __init__(
        self,
        operation: Operation,
        call: Call,
        *,
        examples: int = 25,
        seed: int = 0,
        replay: str = "{case}",
        end: float = float("inf"),
        ended: str = "",
        **more: Any,
    ) -> None:
        super().__init__(
            operation, self._guarded, examples=examples, seed=seed, replay=replay, **more
        )
        self._call, self._end = call, end
        self.ended, self.whole = ended, False
        self._strikes = 0
        self._case: Case | None = None
        self._seen: Failure | None = None

    def _guarded(self, arrays: Arrays, settings: Settings, *, strided: bool = False) -> Returned:
        if time.monotonic() > self._end:
            raise Stop("time", TOO_LONG)
        try:
            return self._call(arrays, settings, strided=strided)
        except StudentFault as fault:
            if fault.kind in HARMLESS:
                raise
            raise Stop(fault.kind, str(fault)) from None

    def wrong(self, case: Case, only: str = "") -> Failure | None:
        """As `Checker.wrong`; keeps in mind which case it was, and the first failure."""
        self._case = case
        failure = super().wrong(case, only)
        if failure is not None and self._seen is None:
            self._refuse_unwritten(failure)
            self._seen = self._with_case(failure, case)
        return failure

    def _refuse_unwritten(self, failure: Failure) -> None:
        """Raise if what failed is not written yet."""
        found = _UNWRITTEN.search(failure.title)
        if found is None:
            return
        name = self.operation.calls[0]
        if found[1] in (None, name):
            self.ended = f"{name} is not written yet"
            raise Stop(UNWRITTEN, self.ended)
        raise Stop(UNWRITTEN, f"{name} needs {found[1]}, which is not written yet")

    def family(self, family: str, cases: Sequence[Case]) -> Outcome:
        """As `Checker.family`; a fault that ended the process is an outcome, too.

        What is optional elsewhere stands in the skeletons of a course: if no case could be tried
        without it, the check has failed.
        """
        if self.ended:
            raise Ended
        self._seen = None
        try:
            outcome = super().family(family, cases)
            if not outcome.absent:
                return outcome
            why = f"nothing could be tried: {outcome.absent}"
            return replace(outcome, failure=Failure(self.operation.name, family, "absent", why))
        except Stop as stop:
            self._count(stop)
            if stop.kind == UNWRITTEN and self.ended:
                raise Ended from None
            failure = self._seen
            if failure is None:
                failure = Failure(self.operation.name, family, stop.kind, str(stop))
                if self._case is not None and not self.whole and stop.kind not in WITHOUT_CASE:
                    failure = self._with_case(failure, self._case)
            return Outcome(f"{self.operation.name}/{family}", 1, failure)

    def _count(self, stop: Stop) -> None:
        if stop.kind == UNWRITTEN:
            return
        self._strikes += 1
        self.whole = stop.kind in WHOLE
        once = self.whole or stop.kind == "missing" or time.monotonic() > self._end
        if once or self._strikes >= STRIKES:
            self.ended = str(stop)

    def explain(self, case: Case, family: str) -> Failure:
        """As `Checker.explain`; code that is wrong now and then is told so."""
        try:
            return super().explain(case, family)
        except AssertionError:
            if all(super(CourseChecker, self).wrong(case) is not None for _ in range(20)):
                raise  # it is always wrong, so the kit is at fault
            failure = Failure(
                self.operation.name,
                family,
                "state",
                "two calls with equal arguments differ",
                "Something is kept between calls, or drawn at random.",
            )
            return self._with_case(failure, case)

    def _with_case(self, failure: Failure, case: Case) -> Failure:
        return replace(
            failure,
            call=self.written(case),
            replay=self.replay.format(case=case_text(self.operation, case)),
        )
