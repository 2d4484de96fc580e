"""``check_op``: every check of an operation in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from minideconv.testing.adapters import Limits, adapt
from minideconv.testing.adapters.signature import own_names
from minideconv.testing.checking.calls import local_call
from minideconv.testing.checking.replay import case_from_text
from minideconv.testing.checking.run import Checker, Outcome
from minideconv.testing.operations.operation import Functions, Operation

__all__ = ["OperationError", "Report", "check_op", "checkers", "replay"]

BACKWARD = "_backward"


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
        for o in self.outcomes:
            mark = "WRONG " if not o.passed else "absent" if o.absent else "ok    "
            lines.append(f"{mark} {o.name}{': ' if o.absent else ''}{o.absent}")
        return "\n".join(lines)


def check_op(
    function: Callable[..., Any],
    operation: str,
    backward: Callable[..., Any] | str | None = None,
    *,
    arrays: str = "numpy",
    signature: str | None = None,
    limits: Limits | None = None,
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
        Of the operation ``"tape"`` it is the class ``Tensor``.
    operation : str
        A name of `OPERATIONS`.
    backward : callable or "autograd", optional
        Its backward, checked as ``operation + "_backward"``; ``"autograd"``: that of the arrays'
        own library, through `function`.
    arrays : {"numpy", "torch", "torch:DEVICE", "jax", "cupy", "tensor"}
        The arrays that it takes and returns.
    signature : {"cs231n", "minitorch", "needle"}, optional
        A course whose signature it has; None (default) is the contract's.
    limits : Limits, optional
        What a function of the contract's signature cannot do; it is not asked for.
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
        If there is no operation, kind of arrays or signature of that name.

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
    functions: dict[str, Callable[..., Any] | str] = {operation: function}
    if backward is not None:
        functions[operation + BACKWARD] = backward
    outcomes: list[Outcome] = []
    for checker in checkers(
        functions, arrays=arrays, signature=signature, limits=limits, beside=beside,
        examples=examples, seed=seed,
    ):  # fmt: skip
        outcomes += checker.run()
    report = Report(tuple(outcomes))
    if not report.passed:
        raise OperationError(report)
    return report


def checkers(
    functions: Mapping[str, Callable[..., Any] | str],
    *,
    arrays: str = "numpy",
    signature: str | None = None,
    limits: Limits | None = None,
    beside: Mapping[str, Callable[..., Any]] | None = None,
    examples: int = 25,
    seed: int = 0,
) -> list[Checker]:
    """Return the checks of a student's functions, by the operations that they are.

    The parameters are those of `check_op`; the messages have the student's own names.
    """
    options = {"arrays": arrays, "signature": signature}
    every = {**(beside or {}), **functions}
    return [
        Checker(
            subject.operation,
            local_call(subject.operation, called(subject.operation, subject.functions)),
            examples=examples,
            seed=seed,
            names=argument_names(subject.operation, subject.own),
            replay=_replay_line(subject.operation, functions, options),
            spell=subject.written,
        )
        for subject in adapt(every, arrays=arrays, signature=signature, limits=limits)
        if subject.operation.name in functions
    ]


def called(operation: Operation, functions: Functions) -> Functions:
    """Return the functions by the names by which the operation calls them."""
    return {**functions, operation.calls[0]: functions[operation.name]}


def _replay_line(
    operation: Operation,
    functions: Mapping[str, Callable[..., Any] | str],
    options: Mapping[str, str | None],
) -> str:
    """Return the line that shows a case again, with ``{case}`` in it."""

    def name(function: Any) -> str:
        return getattr(function, "__name__", repr(function) if function == "autograd" else "f")

    own, forward = functions[operation.name], operation.name.removesuffix(BACKWARD)
    words = [name(own), "'{case}'"]
    both = operation.needs or own == "autograd" or options["signature"] is not None
    if forward != operation.name and both and forward in functions:
        words = [name(functions[forward]), "'{case}'", f"backward={name(own)}"]
    words += [f"{k}={v!r}" for k, v in options.items() if v not in (None, "numpy")]
    return f"minideconv.testing.replay({', '.join(words)})"


def argument_names(operation: Operation, function: Any) -> Callable[[str], str]:
    """Return the student's own names for the arrays: those of the function's signature."""
    if operation.needs:  # it is given what another function returned, and not these arrays
        return str
    names = dict(zip(operation.arguments, own_names(function, operation.arguments), strict=True))
    return lambda role: names.get(role, role)


def replay(
    function: Callable[..., Any],
    case: str,
    backward: Callable[..., Any] | str | None = None,
    *,
    arrays: str = "numpy",
    signature: str | None = None,
    beside: Mapping[str, Callable[..., Any]] | None = None,
) -> str:
    """Call a function on the case of a message, and say what is wrong with its result.

    Parameters
    ----------
    function : callable
        The one that the case is for; with `backward`, the forward.
    case : str
        The text in the message's last line: ``"conv2d size=1x2 kernel=1x2 x=1,0 w=1,0"``.
    backward, arrays, signature, beside
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
    functions: dict[str, Callable[..., Any] | str] = {operation.name: function}
    if backward is not None:
        name = operation.name.removesuffix(BACKWARD)
        functions = {name: function, name + BACKWARD: backward}
    made = checkers(functions, arrays=arrays, signature=signature, beside=beside)
    checker = next(each for each in made if each.operation.name == operation.name)
    failure = checker.wrong(built)
    if failure is None and (broken := checker.broken_promise(built)) is not None:
        lines = (f"{operation.name}: the result is right on this case, but {broken.title}",
                 broken.entry, checker.written(built))  # fmt: skip
        return "\n".join(filter(None, lines))
    if failure is None:
        return f"{operation.name}: the result is right on this case"
    return f"{failure.entry or failure.title}\n{checker.written(built)}"
