"""`Pace`: doing something beside training so seldom that training does not become slower."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Pace"]


class Pace:
    """Does a piece of work again and again, within a share of the time.

    Parameters
    ----------
    share : float
        Of the time, at most: work that took d seconds is done again after d / share.
    least : float
        Seconds between two at least.
    now : callable
        Seconds; a test passes its own.
    """

    def __init__(
        self, share: float, least: float = 0.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._share, self._least, self._now = share, least, now
        self._due = -float("inf")

    def do(self, work: Callable[[], object], at_once: bool = False) -> bool:
        """Do it if it is time, or `at_once`; return whether it was done."""
        begun = self._now()
        if not at_once and begun < self._due:
            return False
        work()
        ended = self._now()
        self._due = ended + max(self._least, (ended - begun) / self._share)
        return True
