"""Results on a terminal: in colours where there are any, plain lines elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
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

    def lines(self, outcomes: Sequence[OutcomeResult], width: int) -> Iterator[str]:
        """Yield a line about each check; those that were not run for one reason share theirs.

        Parameters
        ----------
        outcomes : sequence of OutcomeResult
        width : int
            Of the column of names.
        """
        for (status, operation, title), group in groupby(
            outcomes, key=lambda o: (o.status, o.operation, o.title)
        ):
            together = list(group)
            if status == "not run" and len(together) > 1:
                label = f"{operation}: {len(together)} checks"
                points = sum(o.max_points for o in together)
                yield self._line("not run", label, 0, points, title, width)
                continue
            for o in together:
                note = title if status != "passed" else ""
                yield self._line(status, o.label, o.points, o.max_points, note, width)

    def _line(
        self, status: str, label: str, points: float, most: float, note: str, width: int
    ) -> str:
        mark, colour = {"passed": ("ok", "green"), "failed": ("WRONG", "red")}.get(
            status, ("-", "yellow")
        )
        earned = f"{number(points)}/{number(most)}"
        return f"  {self.paint(f'{mark:6}', colour)}{label:{width}} {earned:>7}  {note}".rstrip()

    def messages(self, result: Result) -> str:
        """Return the whole message of each mistake, once.

        Of failures of a function that have no name the first is shown: the next ones may be gone
        when it is mended. What has no case is said in its line already.
        """
        shown, parts = set(), []
        for outcome in result.failures():
            key = (outcome.operation, outcome.title if outcome.mistakes else "")
            if key not in shown and outcome.call:
                shown.add(key)
                first, _, rest = outcome.text().partition("\n")
                parts.append(f"{self.paint(first, 'bold')}\n{rest}".rstrip())
        return "\n\n".join(parts)

    def total(self, result: Result) -> str:
        """Return what stands below the checks."""
        colour = "green" if result.passed else "red"
        return self.paint(result.headline(), colour)
