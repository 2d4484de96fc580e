"""Hooks: functions that a module calls before and behind its forward."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Hook", "Hooks", "call_with_hooks"]


class Hook(NamedTuple):
    """A function, and how it is called."""

    function: Callable[..., Any]
    before: bool
    with_kwargs: bool


class Hooks(dict[int, Any]):
    """The hooks of a module, by the number of their handle: in the order of registration.

    A deep copy of a module has copies of its hooks. A pickle has none: they are code and objects of
    this process.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> Hooks:
        return Hooks(copy.deepcopy(dict(self), memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return Hooks, ()


def call_with_hooks(
    module: Any, hooks: Hooks, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Return what the forward of a `Module` returns, as its hooks change it."""
    # Lists: a hook may register others, and remove them or itself, while these are being called.
    for hook in [hook for hook in hooks.values() if hook.before]:
        found = hook.function(module, args, *((kwargs,) if hook.with_kwargs else ()))
        if found is None:
            continue
        if not hook.with_kwargs:
            args = found if isinstance(found, tuple) else (found,)
        elif isinstance(found, tuple) and [type(part) for part in found] == [tuple, dict]:
            args, kwargs = found
        else:
            raise TypeError(
                f"{type(module).__name__}: a forward pre-hook with kwargs "
                f"returned a {type(found).__name__}; "
                "it must return None or a pair (args, kwargs) of a tuple and a dict"
            )
    output = module.forward(*args, **kwargs)
    for hook in [hook for hook in hooks.values() if not hook.before]:
        found = hook.function(module, args, *((kwargs,) if hook.with_kwargs else ()), output)
        output = output if found is None else found
    return output
