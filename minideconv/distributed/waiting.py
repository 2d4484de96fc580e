"""Waiting for other processes, with a limit: none of them is sure to come.

A process may have died, hang, or have met an error. MPI's own waits last for ever
then; so here every operation is begun without waiting, and tested again and again until it is done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from minideconv.errors import MinideconvError

__all__ = ["PeerLost", "wait_until"]

SPIN = 0.0001
"""Seconds in which it tests again at once: a small sum takes some microseconds."""

YIELD = 0.02
"""Seconds in which it then tests as often as other processes leave it the core."""

POLL = 0.0005
"""Seconds between two tests after that."""


class PeerLost(MinideconvError, RuntimeError):
    """Another process does not come: what was waited for, and how long."""


def wait_until(done: Callable[[], object], what: str, limit: float) -> None:
    """Return once ``done()`` is true.

    Parameters
    ----------
    done : callable
        Quick; it may carry the operation forward.
    what : str
        The operation, for the message.
    limit : float
        Seconds that it may take.

    Raises
    ------
    PeerLost
        If it takes longer.
    """
    begun = time.monotonic()
    while not done():
        waited = time.monotonic() - begun
        if waited > limit:
            raise PeerLost(f"waited {waited:.1f} s for {what}")
        if waited > YIELD:
            time.sleep(POLL)
        elif waited > SPIN:
            os.sched_yield()
