"""What a signature is: which functions a course has its students write, in the kit's terms."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minideconv.errors import UsageError
from minideconv.testing.adapters.arrays import ArrayKind, array_kind
from minideconv.testing.adapters.backward import with_autograd
from minideconv.testing.adapters.convert import over_numpy
from minideconv.testing.adapters.limits import Limits
from minideconv.testing.adapters.pooled_input import given_the_input
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.operation import Array, Arrays, Operation, Settings

__all__ = ["Function", "Functions", "Shown", "Signature", "own_names"]

Function = Callable[..., Any]
Functions = Mapping[str, "Function | str"]
"""The student's functions by the operations that they are; a backward may be ``"autograd"``."""
Shown = Callable[["Array | None"], str]


class Signature:
    """The contract's own signature, and what others do differently.

    Attributes
    ----------
    name : str
        As in ``check_op(..., signature=name)``.
    limits : mapping of str to Limits
        What it can express of each operation; an operation that is not among them it has not.
    names : mapping of str to tuple of str
        What a course calls the functions of an operation; ``"autograd"`` is none of its functions.
    """

    name = "minideconv"
    limits: Mapping[str, Limits] = {}
    names: Mapping[str, tuple[str, ...]] = {name: (name,) for name in OPERATIONS}

    def find(self, module: Mapping[str, Any], prefix: str = "") -> dict[str, Function | str]:
        """Return the operations that a module (its ``vars``) has functions for."""
        found: dict[str, Function | str] = {}
        for operation, names in self.names.items():
            known = [module[prefix + name] for name in names if prefix + name in module]
            if known:
                found[operation] = known[0]
            elif "autograd" in names and operation.removesuffix("_backward") in found:
                found[operation] = "autograd"
        return found

    def limit(self, operation: str) -> Limits:
        """Return what it can express of an operation.

        Raises
        ------
        UsageError
            If it has no such operation: which ones it has.
        """
        if not self.limits:
            return Limits()
        if operation not in self.limits:
            raise UsageError(
                f"the signature {self.name!r} has no {operation}; it has {', '.join(self.limits)}"
            )
        return self.limits[operation]

    def arrays(self, name: str) -> ArrayKind:
        """Return the arrays that such functions take, where `name` is asked for."""
        return array_kind(name)

    def functions(self, given: Functions, kind: ArrayKind) -> dict[str, Function]:
        """Return the operations, of the contract's signature and over NumPy arrays."""
        made: dict[str, Function] = {}
        for name, function in given.items():
            if OPERATIONS[name].called:  # a student's own Tensor: nothing to convert
                assert callable(function)
                made[name] = function
                continue
            if callable(function):
                opaque = (1,) if f"{name}_backward" in NEED_THE_CACHE else ()
                outputs = ("y", "cache", *RUNNING) if opaque else OPERATIONS[name].outputs
                made[name] = over_numpy(function, kind, name=name, outputs=outputs, opaque=opaque)
                continue
            forward = name.removesuffix("_backward")
            if function != "autograd" or not callable(first := given.get(forward)):
                raise UsageError(
                    f"backward is {function!r}; it must be a function or 'autograd'"
                )  # fmt: skip
            made |= with_autograd(first, OPERATIONS[forward], self.operation(name, given), kind)
        return made

    def operation(self, name: str, given: Functions) -> Operation:
        """Return the operation as such functions are asked for it."""
        if name == "max_pool2d_backward" and given[name] == "autograd":
            return given_the_input(OPERATIONS[name])
        return OPERATIONS[name]

    def written(
        self, operation: str, given: Functions, arrays: Arrays, settings: Settings, shown: Shown
    ) -> str | None:
        """Return a call as a student would write it; None: as the contract has it."""
        return None


RUNNING = ("running_mean", "running_var")
NEED_THE_CACHE = {name for name, operation in OPERATIONS.items() if operation.needs}


def own_names(function: Any, usual: Sequence[str]) -> list[str]:
    """Return the names of a function's first parameters; the usual ones where it has none."""
    try:
        own = [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        own = []
    return [*own[: len(usual)], *usual[len(own) :]]
