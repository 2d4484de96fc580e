"""What promises and state need of the checks of one operation, which `run.Checker` has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from minideconv.testing.checking.calls import Call
from minideconv.testing.checking.failure import Failure
from minideconv.testing.operations.operation import Case, Operation

__all__ = ["Checker"]


class Checker(Protocol):
    """The checks of one operation on one implementation, as far as promises need them.

    ``absent`` counts cases that were passed over, since they need what is optional.
    """

    operation: Operation
    call: Call
    names: Callable[[str], str]
    replay: str
    absent: int

    def cases(self) -> dict[str, list[Case]]:
        """Return cases for each family."""
        ...

    def wrong(self, case: Case) -> Failure | None:
        """Return what is wrong with the result of one case."""
        ...

    def explain(self, case: Case, family: str) -> Failure:
        """Return what is wrong with a small case like this one, and which mistake it is."""
        ...

    def written(self, case: Case) -> str:
        """Return the call as text."""
        ...
