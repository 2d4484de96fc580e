"""``check_op``: every check of an operation in one line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from minideconv.errors import UsageError
from minideconv.testing.checking.calls import local_call
from minideconv.testing.checking.replay import case_from_text
from minideconv.testing.checking.run import Checker, Outcome
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.operation import Operation

__all__ = ["OperationError", "Report", "check_op", "replay"]


class OperationError(AssertionError):
    """An implementation of an operation is wrong; the message begins with the likely mistake."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.text())
        self.report = report


@dataclass(frozen=True)
class Report:
    """The outcomes of `check_op`."""

    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(outcome.passed for outcome in self.outcomes)

    def text(self) -> str:
        """Return the first failure, then a line for each check."""
        failures = [o.failure for o in self.outcomes if o.failure is not None]
        lines = [failures[0].text(), ""] if failures else []
        lines += [f"{'ok    ' if o.passed else 'WRONG '} {o.name}" for o in self.outcomes]
        return "\n".join(lines)


def check_op(
    function: Callable[..., Any],
    operation: str,
    backward: Callable[..., Any] | None = None,
    *,
    beside: Mapping[str, Callable[..., Any]] | None = None,
    examples: int = 25,
    seed: int = 0,
) -> Report:
    """Check a function against everything that is known of an operation.

    Parameters
    ----------
    function : callable
        Takes and returns plain arrays, with the signature that the contract gives the operation:
        ``conv2d(x, w, b, stride, padding, dilation, groups)``, settings as pairs (height, width).
    operation : str
        A name of `OPERATIONS`.
    backward : callable, optional
        Its backward, checked as ``operation + "_backward"``.
    beside : mapping of str to callable, optional
        Functions that are called for the check but not checked: for ``"batch_norm_backward"`` the
        ``"batch_norm"`` that makes the cache.
    examples : int
        Cases for each family of geometry (>= 1).
    seed : int
        Of the cases.

    Returns
    -------
    Report
        Where every check passed.

    Raises
    ------
    OperationError
        The first failure: the likely mistake by name, the wrong entry and the right one, the
        smallest call that shows it, the rule that it breaks.
    UsageError
        If no operation has that name.

    Examples
    --------
    >>> import numpy as np
    >>> from minideconv import ops
    >>> check_op(ops.conv2d, "conv2d").passed
    True
    >>> def flipped(x, w, b=None, **settings):
    ...     return ops.conv2d(x, w[:, :, ::-1, ::-1], b, **settings)
    >>> check_op(flipped, "conv2d")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    minideconv.testing.checking.check.OperationError: conv2d: kernel flipped...
    """
    functions = {operation: function}
    if backward is not None:
        functions[f"{operation}_backward"] = backward
    outcomes: list[Outcome] = []
    for name in functions:
        if name not in OPERATIONS:
            raise UsageError(f"no operation is called {name!r}; there are {', '.join(OPERATIONS)}")
        known = OPERATIONS[name]
        checker = Checker(
            known,
            local_call(known, {**(beside or {}), **functions}),
            examples=examples,
            seed=seed,
            names=argument_names(known, functions[name]),
            replay="minideconv.testing.replay({function}, '{{case}}')".format(
                function=getattr(functions[name], "__name__", "function")
            ),
        )
        outcomes += checker.run()
    report = Report(tuple(outcomes))
    if not report.passed:
        raise OperationError(report)
    return report


def argument_names(operation: Operation, function: Callable[..., Any]) -> Callable[[str], str]:
    """Return the student's own names for the arrays: those of the function's signature."""
    if operation.needs:  # it is given what another function returned, and not these arrays
        return str
    try:
        own = [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        own = []
    names = dict(zip(operation.arguments, own, strict=False))
    return lambda role: names.get(role, role)


def replay(
    function: Callable[..., Any],
    case: str,
    *,
    beside: Mapping[str, Callable[..., Any]] | None = None,
) -> str:
    """Call a function on the case of a message, and say what is wrong with its result.

    Parameters
    ----------
    function : callable
        As for `check_op`.
    case : str
        The text in the message's last line: ``"conv2d size=1x2 kernel=1x2 x=1,0 w=1,0"``.
    beside : mapping of str to callable, optional
        As for `check_op`.

    Returns
    -------
    str
        The wrong entry and the right one, or that the result is right.

    Raises
    ------
    UsageError
        If the text is not a case.
    """
    operation, built = case_from_text(case)
    checker = Checker(operation, local_call(operation, {**(beside or {}), operation.name: function}))
    failure = checker.wrong(built)
    if failure is None:
        return f"{operation.name}: the result is right on this case"
    return f"{failure.entry or failure.title}\n{checker.written(built)}"
