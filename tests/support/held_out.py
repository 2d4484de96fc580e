"""Wrong submissions that are not in the bank of mistakes: each is caught, and none is misnamed.

A file of them collects whole functions as students write them, none made from the bank's code, each
with the names that are right for it. None: no name of the bank is right, so none may be given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import pytest

from minideconv.testing import OperationError, check_op


@dataclass
class Submission:
    """One wrong function.

    ``names`` are those that are right for it.
    """

    operation: str
    function: Callable
    names: frozenset[str]

    @cached_property
    def failures(self):
        """What the kit says of it; empty if it is accepted."""
        try:
            check_op(self.function, self.operation)
        except OperationError as error:
            return [o.failure for o in error.report.outcomes if o.failure]
        return []

    @property
    def found(self):
        """The names that the kit gives it."""
        return {name for failure in self.failures for name in failure.mistakes}

    def check(self):
        assert self.failures, "accepted"
        assert self.found <= self.names, [failure.title for failure in self.failures]


@dataclass
class Submissions:
    """The submissions of a file."""

    all: list[Submission] = field(default_factory=list)

    def submitted(self, operation: str, *names: str) -> Callable:
        """Collect the decorated function."""

        def keep(function):
            self.all.append(Submission(operation, function, frozenset(names)))
            return function

        return keep

    def parametrize(self, test):
        """Run a test on each of them."""
        ids = [s.function.__name__ for s in self.all]
        return pytest.mark.parametrize("submission", self.all, ids=ids)(test)

    def named(self):
        """The functions that get a name."""
        return [s.function.__name__ for s in self.all if s.found]

    def nameable(self):
        """The functions for which a name would be right."""
        return [s.function.__name__ for s in self.all if s.names]
