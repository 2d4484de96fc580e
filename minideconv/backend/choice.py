"""A choice for the whole program: `Choice`, behind `set_algorithm` and `set_precision`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from minideconv.errors import UsageError

__all__ = ["Choice", "choices"]

choices: list[Choice] = []
"""All there are."""


class Choice:
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

    Attributes
    ----------
    name : str or None
        The name in use; None until it is first needed.
    """

    def __init__(self, what: str, names: Sequence[str], variable: str, default: str) -> None:
        self.what, self.names, self.variable, self.default = what, names, variable, default
        self.name: str | None = None
        choices.append(self)

    def check(self, name: str, caller: str) -> str:
        """Return `name`, or raise UsageError, naming `caller`, if it is none of the names."""
        if name not in self.names:
            legal = ", ".join(map(repr, self.names))
            raise UsageError(f"{caller}: the {self.what} is {name!r}; it must be one of {legal}")
        return name

    def get(self) -> str:
        """Return the name in use."""
        if self.name is None:
            self.name = self.check(os.environ.get(self.variable) or self.default, self.variable)
        return self.name

    def set(self, name: str, caller: str) -> None:
        """Use `name` from now on."""
        self.name = self.check(name, caller)

    @contextmanager
    def using(self, name: str | None, caller: str) -> Iterator[None]:
        """Use `name` inside a ``with`` block; None changes nothing."""
        before = self.get()
        if name is not None:
            self.set(name, caller)
        try:
            yield
        finally:
            self.name = before
