"""Results on a terminal: in colours where there are any, plain lines elsewhere."""

from __future__ import annotations

import os
from typing import TextIO

from minideconv.course.results import OutcomeResult, Result, number

__all__ = ["Painter"]

_CODES = {"green": "32", "red": "31", "yellow": "33", "bold": "1", "dim": "2"}


class Painter:
    """Writes results for one stream.

    Parameters
    ----------
    stream : file
        Colours are used if it is a terminal, ``NO_COLOR`` is unset or empty, and ``TERM`` is not
        ``dumb``.
    """

    def __init__(self, stream: TextIO) -> None:
        self.colours = (
            stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )

    def paint(self, text: str, colour: str) -> str:
        """Return a text in a colour."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.colours else text

    def line(self, outcome: OutcomeResult) -> str:
        """Return one line about a check."""
        mark, colour = {"passed": ("ok", "green"), "failed": ("WRONG", "red")}.get(
            outcome.status, ("-", "yellow")
        )
        points = f"{number(outcome.points)}/{number(outcome.max_points)}"
        note = outcome.title if outcome.status != "passed" else ""
        return f"  {self.paint(f'{mark:6}', colour)}{outcome.label:36} {points:>7}  {note}".rstrip()

    def messages(self, result: Result) -> str:
        """Return the whole message of each mistake, once."""
        shown, parts = set(), []
        for outcome in result.failures():
            key = (outcome.operation, outcome.title)
            if key not in shown:
                shown.add(key)
                first, _, rest = outcome.text().partition("\n")
                parts.append(f"{self.paint(first, 'bold')}\n{rest}".rstrip())
        return "\n\n".join(parts)

    def total(self, result: Result) -> str:
        """Return what stands below the checks."""
        colour = "green" if result.passed else "red"
        return self.paint(result.headline(), colour)
