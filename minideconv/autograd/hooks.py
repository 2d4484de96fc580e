"""Hooks: functions of the program that see a gradient on its way, and may replace it."""

from __future__ import annotations

from itertools import count
from typing import Any, Protocol

from minideconv.backend import Array

__all__ = ["GradHook", "RemovableHandle", "apply_hooks"]


class GradHook(Protocol):
    """Sees a gradient, as an array or as a Tensor, and may put another one in its place."""

    def __call__(self, grad: Array) -> Array | None:
        """Return what takes the place of `grad`, or None."""

    def on_tensor(self, grad: Any) -> Any:
        """Return what takes the place of `grad`, a Tensor that may have a history."""


_keys = count()


class RemovableHandle:
    """Takes one hook away again.

    Parameters
    ----------
    hooks : dict
        The hooks of one owner, in the order of their calls.
    hook
        It is added to them.
    """

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self._hooks, self._key = hooks, next(_keys)
        hooks[self._key] = hook

    def remove(self) -> None:
        """Take the hook away; doing so twice does nothing."""
        self._hooks.pop(self._key, None)


def apply_hooks(hooks: dict[int, GradHook], grad: Array) -> Array:
    """Show `grad` to the hooks, in their order, and return what they make of it."""
    for hook in tuple(hooks.values()):
        replacement = hook(grad)
        grad = grad if replacement is None else replacement
    return grad
