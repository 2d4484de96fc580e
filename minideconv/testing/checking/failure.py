"""What a student is told: the likely mistake, the smallest call that shows it, the rule it breaks.

The first 500 characters carry it all, since some platforms cut there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minideconv.testing.operations.operation import Array

__all__ = ["Failure", "shown"]

FIRST = 500
"""Characters of a message that every platform shows."""


@dataclass(frozen=True)
class Failure:
    """Why a check failed.

    Attributes
    ----------
    operation : str
        Name of the operation.
    family : str
        Of the case.
    kind : str
        ``"value"``, ``"shape"``, ``"dtype"``, ``"changed"``, ``"state"``, ``"strides"``, or the
        kind of a `StudentFault`.
    title : str
        The likely mistake by name, or what the output does; a few words.
    sentence : str
        What such code does, and what it should do.
    call : str
        The call with its arrays, in the student's own argument names.
    entry : str
        The wrong entry and the right one.
    rule : str
        The formula that is broken.
    replay : str
        A line that shows it again, on any machine.
    mistakes : tuple of str
        Names of the mistakes of the bank that explain it; empty if none does.
    arrays : dict
        What to draw: ``got`` and ``want``.
    """

    operation: str
    family: str
    kind: str
    title: str
    sentence: str = ""
    call: str = ""
    entry: str = ""
    rule: str = ""
    replay: str = ""
    mistakes: tuple[str, ...] = ()
    arrays: dict[str, Array] = field(default_factory=dict, repr=False, compare=False)

    def text(self) -> str:
        """Return the message: mistake, what it is, entry, call, rule, replay, one a line.

        Where that would not be within the first characters, what the mistake is stands there in
        short, or not at all, and in full at the end.
        """
        # Of a function that raised, the title begins with its name.
        named = self.title.startswith(f"{self.operation} ")
        first = f"{self.title}." if named else f"{self.operation}: {self.title}."
        rule, again = self.rule and f"Rule: {self.rule}", self.replay and f"Again: {self.replay}"
        rest = [line for line in (self.entry, self.call, rule, again) if line]
        for what in (
            self.sentence,
            _until(r"[.](?:\s|$)", self.sentence),
            _until(r"[.;](?:\s|$)", self.sentence),
        ):
            if what and sum(len(line) + 1 for line in [first, what, *rest]) <= FIRST:
                end = "" if what == self.sentence else self.sentence
                return "\n".join(line for line in [first, what, *rest, end] if line)
        return "\n".join(line for line in [first, *rest, self.sentence] if line)

    def as_json(self) -> dict[str, Any]:
        """Return the fields that can be stored as JSON."""
        names = ("operation", "family", "kind", "title", "sentence", "call", "entry", "rule",
                 "replay", "mistakes")  # fmt: skip
        return {name: getattr(self, name) for name in names}


def _until(mark: str, sentence: str) -> str:
    """Return the beginning of what a mistake is, as a sentence."""
    beginning = re.split(mark, sentence)[0]
    return f"{beginning}." if beginning else ""


MOST = 64
"""Numbers of an array that is written."""


def shown(array: Array | None, most: int = MOST) -> str:
    """Return a small array on one line, with integers as integers.

    Parameters
    ----------
    array : ndarray, optional
    most : int
        Numbers that are written; of an array with more the shape is. With fewer than usual, zeros
        are written without theirs.

    Examples
    --------
    >>> shown(np.array([[1.0, 0.5]]))
    '[[1, 0.5]]'
    >>> shown(np.zeros((1, 1, 3, 3)))
    'zeros 1x1x3x3'
    """
    if array is None:
        return "None"
    if array.size > min(4, most) and (not array.any() or array.size > most):
        shape = "x".join(map(str, array.shape))
        return f"<{shape}>" if array.any() else f"zeros {shape}" if most == MOST else "zeros"

    def nested(item: Any) -> str:
        if isinstance(item, list):
            return f"[{', '.join(nested(part) for part in item)}]"
        return f"{item:.9g}" if isinstance(item, float) else str(item)

    return nested(np.asarray(array).tolist())
