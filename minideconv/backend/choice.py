"""What is chosen for the program, for a thread or for a block: `ContextValue` and `Choice`.

A choice made in the main thread is the program's: it holds in every thread that has not made one of
its own. One made in another thread is that thread's, and one made by a ``with`` block, or inside
one, is the block's. So two threads can compute in different ways at the same time, and neither
leaves the other in its own. Threads and blocks are contexts in the sense of `contextvars`: tasks of
asyncio that take turns in one thread do not meet either.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ContextDecorator, nullcontext
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from minideconv.backend.environment import read_text
from minideconv.errors import UsageError

__all__ = ["Block", "Choice", "ContextValue", "choices", "refuse_unfinished"]

Value = TypeVar("Value")
Function = TypeVar("Function", bound=Callable[..., Any])


class ContextValue(Generic[Value]):
    """A value that may differ between threads and blocks.

    Parameters
    ----------
    name : str
        What it is called in a listing of contexts.
    value
        The program's, until it is set.
    """

    def __init__(self, name: str, value: Value) -> None:
        # What this thread and blocks have chosen, of which the last holds; each with who chose.
        self._own: ContextVar[tuple[tuple[object, Value], ...]] = ContextVar(name, default=())
        self._program = value

    def get(self) -> Value:
        """Return the value that holds here."""
        own = self._own.get()
        return own[-1][1] if own else self._program

    def set(self, value: Value) -> None:
        """Let `value` hold from now on: for the program, this thread or this block."""
        own = self._own.get()
        if own:
            self._own.set((*own[:-1], (own[-1][0], value)))
        elif threading.current_thread() is threading.main_thread():
            self._program = value
        else:
            self._own.set(((None, value),))

    def begin(self, value: Value) -> None:
        """Let `value` hold wherever nothing else has been chosen."""
        self._program = value

    def using(self, value: Value) -> Block:
        """Return a block in which `value` holds."""
        return Block(self._own, value)


class Block(ContextDecorator):
    """A ``with`` block, or a decorated function, in which a value holds.

    Blocks may end in any order, as those of generators do that take turns: each takes back its own
    value only. So the same object can be used again, also inside itself.
    """

    def __init__(self, own: ContextVar[Any], value: Any) -> None:
        self._own, self._value = own, value
        self._entered: list[object] = []

    def __enter__(self) -> None:
        self._entered.append(object())
        self._own.set((*self._own.get(), (self._entered[-1], self._value)))

    def __exit__(self, *error: object) -> None:
        mine = self._entered.pop()
        self._own.set(tuple(each for each in self._own.get() if each[0] is not mine))

    def _recreate_cm(self) -> Block:
        return Block(self._own, self._value)  # for each call, since threads may call it at once

    def __call__(self, function: Function) -> Function:
        """Decorate `function` so that each call of it runs inside the block."""
        refuse_unfinished("a block", function)
        return super().__call__(function)


def refuse_unfinished(what: str, function: Callable[..., Any]) -> None:
    """Raise TypeError for a function that goes on after its call has ended."""
    for kind, test in (
        ("generator", inspect.isgeneratorfunction),
        ("async", inspect.iscoroutinefunction),
        ("async", inspect.isasyncgenfunction),
    ):
        if test(function):
            raise TypeError(
                f"{what}: cannot decorate the {kind} function {function.__name__}; write the with "
                "block inside it"
            )


choices: list[Choice] = []
"""All there are."""


class Choice(ContextValue[str]):
    """One of several names; until one is set, that of an environment variable.

    Parameters
    ----------
    what : str
        What is chosen, for messages.
    names : sequence of str
        The legal ones.
    variable : str
        The environment variable.
    default : str
        What holds if that is not set.
    """

    def __init__(self, what: str, names: Sequence[str], variable: str, default: str) -> None:
        super().__init__(f"minideconv's {what}", "")  # "": the variable has not been read yet
        self.what, self.names, self.variable, self.default = what, names, variable, default
        choices.append(self)

    def check(self, name: str, caller: str) -> str:
        """Return `name`, or raise UsageError, naming `caller`, if it is none of the names."""
        if not isinstance(name, str) or name not in self.names:
            legal = ", ".join(map(repr, self.names))
            raise UsageError(f"{caller}: the {self.what} is {name!r}; it must be one of {legal}")
        return name

    def get(self) -> str:
        """Return the name in use."""
        own = self._own.get()  # as `ContextValue.get`: every operation asks for this
        return (own[-1][1] if own else self._program) or self._read()

    def _read(self) -> str:
        self.begin(self.check(read_text(self.variable) or self.default, self.variable))
        return self._program

    def block(self, name: str | None, caller: str) -> AbstractContextManager[None]:
        """Return a ``with`` block in which `name` is used; None changes nothing."""
        return nullcontext() if name is None else self.using(self.check(name, caller))
