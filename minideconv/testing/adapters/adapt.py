"""From a student's functions to what is checked: operations within limits, and their functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minideconv.errors import UsageError
from minideconv.testing.adapters.cs231n import CS231n
from minideconv.testing.adapters.limits import Limits, few_geometries, within
from minideconv.testing.adapters.minitorch import Minitorch
from minideconv.testing.adapters.needle import Needle
from minideconv.testing.adapters.signature import Function, Functions, Shown, Signature
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.operation import Arrays, Operation, Settings

__all__ = ["SIGNATURES", "Subject", "adapt"]

SIGNATURES: dict[str, Callable[[], Signature]] = {
    signature.name: signature for signature in (CS231n, Minitorch, Needle)
}
"""The signatures of courses by their names."""


@dataclass(frozen=True)
class Subject:
    """One operation, and an implementation of it.

    Attributes
    ----------
    operation : Operation
        Draws only what the implementation can be asked for.
    functions : mapping of str to callable
        Of the contract's signature, over NumPy arrays.
    own : callable or "autograd"
        The student's function.
    written : callable
        ``written(arrays, settings, shown)`` is a call as a student would write it, or None.
    """

    operation: Operation
    functions: dict[str, Function]
    own: Function | str
    written: Callable[[Arrays, Settings, Shown], str | None]


def adapt(
    functions: Functions,
    *,
    arrays: str = "numpy",
    signature: str | None = None,
    limits: Limits | None = None,
) -> list[Subject]:
    """Return what is to be checked of a student's functions.

    Parameters
    ----------
    functions : mapping of str to callable
        By the operations that they are, ``{"conv2d": conv_forward_naive}``; a backward may be
        ``"autograd"``.
    arrays : str
        A name of `ARRAYS`.
    signature : str, optional
        A name of `SIGNATURES`.
    limits : Limits, optional
        What functions of the contract's signature cannot do.

    Raises
    ------
    UsageError
        If there is no such operation, kind of arrays or signature, or they do not go together.
    """
    for name in functions:
        if name not in OPERATIONS:
            raise UsageError(f"no operation is called {name!r}; there are {', '.join(OPERATIONS)}")
    if signature is not None and signature not in SIGNATURES:
        legal = ", ".join(f'"{known}"' for known in SIGNATURES)
        raise UsageError(f"signature is {signature!r}; it must be one of {legal}")
    if signature is not None and limits is not None:
        raise UsageError(f"limits are those of the signature {signature!r}; give one of the two")
    own = Signature() if signature is None else SIGNATURES[signature]()
    allowed = {name: limits or own.limit(name) for name in functions}
    kind = own.arrays(arrays)
    made = own.functions(functions, kind)
    subjects = []
    for name, function in functions.items():
        operation = own.operation(name, functions)
        if limits is not None or signature is not None:
            operation = within(operation, allowed[name])
        if kind.few_shapes:
            operation = few_geometries(operation)

        def written(
            given: Arrays, settings: Settings, shown: Shown, name: str = name
        ) -> str | None:
            return own.written(name, functions, given, settings, shown)

        subjects.append(Subject(operation, made, function, written))
    return subjects
