"""What is chosen for the program, for a thread or for a block: `ContextValue` and `Choice`.

A choice made in the main thread is the program's: it holds in every thread that has not made one of
its own. One made in another thread is that thread's, and one made by a ``with`` block, or inside
one, is the block's. So two threads can compute in different ways at the same time, and neither
leaves the other in its own. Threads and blocks are contexts in the sense of `contextvars`: tasks of
asyncio that take turns in one thread do not meet either.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Generic, TypeVar

from minideconv.errors import UsageError

__all__ = ["Choice", "ContextValue", "choices"]

Value = TypeVar("Value")

_FOLLOWS = object()
"""The value of a context that has not chosen: it follows the program."""


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
        self._own: ContextVar[Value] = ContextVar(name, default=_FOLLOWS)  # type: ignore[arg-type]  # no value of Value's can mean "none"
        self._program = value

    def get(self) -> Value:
        """Return the value that holds here."""
        own = self._own.get()
        return self._program if own is _FOLLOWS else own

    def set(self, value: Value) -> None:
        """Let `value` hold from now on: for the program, this thread or this block."""
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and self._own.get() is _FOLLOWS:
            self._program = value
        else:
            self._own.set(value)

    def begin(self, value: Value) -> None:
        """Let `value` hold wherever nothing else has been chosen."""
        self._program = value

    @contextmanager
    def using(self, value: Value) -> Iterator[None]:
        """Let `value` hold inside a ``with`` block."""
        before = self._own.get()
        self._own.set(value)
        try:
            yield
        finally:
            self._own.set(before)


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
        return (self._program if own is _FOLLOWS else own) or self._read()

    def _read(self) -> str:
        self.begin(self.check(os.environ.get(self.variable) or self.default, self.variable))
        return self._program

    def block(self, name: str | None, caller: str) -> AbstractContextManager[None]:
        """Return a ``with`` block in which `name` is used; None changes nothing."""
        return nullcontext() if name is None else self.using(self.check(name, caller))
