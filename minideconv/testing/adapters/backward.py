"""The backward of a function by the autograd of its own library: ``backward="autograd"``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minideconv.errors import UsageError
from minideconv.testing.adapters.arrays import ArrayKind
from minideconv.testing.adapters.convert import over_numpy
from minideconv.testing.faults import StudentFault
from minideconv.testing.operations.operation import Array, Operation

__all__ = ["with_autograd"]

Function = Callable[..., Any]


class _Saved(NamedTuple):
    """What a forward was called with: the cache of a function that has none."""

    args: tuple[Any, ...]
    settings: dict[str, Any]


def with_autograd(
    function: Function, forward: Operation, backward: Operation, kind: ArrayKind
) -> dict[str, Function]:
    """Return a forward and its backward, over NumPy arrays, of one function of `kind`.

    The backward's outputs ``dx``, ``dw``, ... are the gradients for the forward's arguments ``x``,
    ``w``, ...; the first of its own arguments is the gradient that it is given. A backward that is
    given no ``x`` to pool again must be one of `given_the_input`.

    Raises
    ------
    UsageError
        If the arrays' library has no autograd.
    """
    if not kind.autograd:
        raise UsageError(
            f"backward='autograd' needs arrays of a library that has one, not {kind.type}: "
            "arrays='torch', 'jax' or 'tensor'"
        )
    roles = tuple(output.removeprefix("d") for output in backward.outputs)
    first = over_numpy(function, kind, name=forward.name, outputs=forward.outputs,
                       opaque=(1,) if backward.needs else ())  # fmt: skip
    if backward.needs:  # it is given the forward's cache

        def forwards(*args: Any, **settings: Any) -> Any:
            saved = _Saved(tuple(np.copy(a) if isinstance(a, np.ndarray) else a for a in args),
                           dict(settings))  # fmt: skip
            result = first(*args, **settings)
            return (result[0], saved, *result[2:]) if isinstance(result, tuple) else (result, saved)

        def backwards(cotangent: Array, saved: _Saved) -> Any:
            given = dict(zip(forward.arguments, saved.args, strict=False))
            return _gradients(function, given, saved.settings, roles, cotangent, forward, kind)

        return {forward.name: forwards, backward.name: backwards}

    def from_arguments(*args: Any, **settings: Any) -> Any:
        given: dict[str, Any] = dict(zip(backward.arguments, args, strict=True))
        cotangent = given.pop(backward.arguments[0])
        if forward.name == "max_unpool2d":  # linear in y: any y will do
            given["y"] = np.zeros(given["switches"].shape, cotangent.dtype)
            settings["size"] = cotangent.shape[2:]
        for role in forward.optional:  # a bias: its gradient is the same for every value
            given.setdefault(role, np.zeros(cotangent.shape[1], cotangent.dtype))
        return _gradients(function, given, settings, roles, cotangent, forward, kind)

    return {forward.name: first, backward.name: from_arguments}


def _gradients(
    function: Function,
    given: dict[str, Any],
    settings: dict[str, Any],
    roles: tuple[str, ...],
    cotangent: Array,
    forward: Operation,
    kind: ArrayKind,
) -> Any:
    arrays = [a for a in (*given.values(), cotangent) if isinstance(a, np.ndarray)]
    with kind.setting(arrays):
        lent = {r: kind.lend(a) if isinstance(a, np.ndarray) else a for r, a in given.items()}
        inner = [role for role in roles if lent[role] is not None]

        def of_inner(*inputs: Any) -> Any:
            now = {**lent, **dict(zip(inner, inputs, strict=True))}
            return function(*(now[role] for role in forward.arguments), **settings)

        found = dict(zip(inner, kind.gradients(
            of_inner, [lent[role] for role in inner], kind.lend(cotangent)
        ), strict=True))  # fmt: skip
    for role, gradient in found.items():
        if gradient is None:
            raise StudentFault(
                "returned", f"autograd finds no gradient for {role}: the result does not follow "
                "from it by operations that autograd records"
            )  # fmt: skip
    results = [kind.take(found[r]) if r in found else None for r in roles]
    return results[0] if len(results) == 1 else tuple(results)
