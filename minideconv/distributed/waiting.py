"""Waiting for other processes, with a limit: none of them is sure to come.

A process may have died, hang, or have met an error. MPI's own waits know nothing of that and last
for ever; so here every operation is begun without waiting, and asked again and again whether it is
done. In between, `Waiting` looks at four things that end the wait with a `PeerLost`:

* another process has written that it cannot go on (`peers`);
* the launcher says that a process has ended (MPICH's sends SIGUSR1 to the others);
* the limit is over;
* this process was asked to stop, and the others do not come any more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from minideconv.distributed.peers import Peers
from minideconv.errors import MinideconvError

__all__ = ["PeerLost", "Waiting"]

AT_ONCE = 0.0001
"""Seconds in which it asks again at once: a small sum takes some microseconds."""

EAGER = 0.02
"""Seconds in which it then asks as often as other processes leave it the core."""

REST = 0.0005
"""Seconds between two questions after that."""

AFTER_NEWS = 0.5
"""Seconds that a wait may still last when some process has ended, or said that it cannot go on: it
may have done its part."""

AFTER_STOP = 15.0
"""Seconds that a wait may still last when this process shall stop."""


class PeerLost(MinideconvError, RuntimeError):
    """Another process does not come, or has said that it cannot go on; what was waited for."""


class Waiting:
    """How this process waits.

    Parameters
    ----------
    limit : float
        Seconds that a wait may last.
    peers : Peers
        What is known of the other processes.

    Attributes
    ----------
    stopping : callable
        Returns whether this process was asked to stop; somebody else may set it.
    """

    def __init__(self, limit: float, peers: Peers) -> None:
        self.limit = limit
        self.peers = peers
        self.stopping: Callable[[], object] = lambda: False

    def until(self, done: Callable[[], object], what: str) -> None:
        """Return once ``done()`` is true.

        Parameters
        ----------
        done : callable
            Quick; it may carry the operation forward.
        what : str
            The operation, for the message.

        Raises
        ------
        PeerLost
            If it will not be.
        """
        begun = time.monotonic()
        news = stopped = 0.0  # since when
        while not done():
            now = time.monotonic()
            if now - begun < AT_ONCE:
                continue
            if now - begun < EAGER:
                os.sched_yield()
            else:
                time.sleep(REST)
            news = news or (now if self.peers.deaths or self.peers.heard() else 0.0)
            stopped = stopped or (now if self.stopping() else 0.0)
            if (
                (news and now - news > AFTER_NEWS)
                or (stopped and now - stopped > AFTER_STOP)
                or now - begun > self.limit
            ):
                raise PeerLost(f"waited {now - begun:.1f} s for {what}")
