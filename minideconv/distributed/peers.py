"""What a process knows of the others when something goes wrong, and how it takes its leave.

A process that cannot go on, for whatever reason, sends a *note* to every other one. These are
waiting for it somewhere (`waiting`), or will be soon; they see the note and write one themselves.
After a while all who can still speak have spoken:

* who wrote that it met an error, and which;
* who only waited for somebody;
* who is silent: dead, or hanging.

The lowest rank that spoke is the one to act for all: it saves what there is to save and tells the
user. It is the same one in everybody's eyes, because all have the same notes. The others wait until
it ends the program.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Farewell", "Peers"]

_TAG = 9191  # of notes; nothing else is sent from one process to one other


@dataclass
class Farewell:
    """How a run of several processes ended before its time."""

    rank: int
    size: int
    notes: dict[int, dict[str, Any]]
    """What was heard, by rank: ``error`` or ``waited``, a sentence, and ``code``."""

    @property
    def first(self) -> bool:
        """Whether this process is the one to act for all."""
        return self.rank == min(self.notes)

    @property
    def orderly(self) -> bool:
        """Whether all have left by themselves, so that nothing is under way between them."""
        return len(self.notes) == self.size and all("error" in n for n in self.notes.values())

    @property
    def code(self) -> int:
        """The exit code for all: that of the first error."""
        errors = [n["code"] for _, n in sorted(self.notes.items()) if "error" in n]
        return int(errors[0] if errors else 1)

    def sentence(self, died: bool) -> str:
        """Say in one sentence what happened; `died` if the launcher saw a process end."""
        errors: dict[str, list[int]] = {}
        for rank, note in sorted(self.notes.items()):
            if note.get("error"):
                errors.setdefault(note["error"], []).append(rank)
        if errors:
            if len(errors) == 1 and self.orderly:
                return next(iter(errors))  # all met the same: it is nobody's own
            return "; ".join(f"{_ranks(ranks)}: {text}" for text, ranks in errors.items())
        waits = ((r, n["waited"]) for r, n in sorted(self.notes.items()) if "waited" in n)
        waited = next((f"rank {rank} {text}" for rank, text in waits), "")
        silent = sorted(set(range(self.size)) - set(self.notes))
        if not silent:
            return waited
        several = len(silent) > 1
        if died:
            how = "have ended" if several else "has ended"
        else:
            how = "do not answer" if several else "does not answer"
        return f"{_ranks(silent)} {how}; {waited}"


def _ranks(ranks: list[int]) -> str:
    return ("rank " if len(ranks) == 1 else "ranks ") + ", ".join(map(str, ranks))


class Peers:
    """The notes of a set of processes.

    Parameters
    ----------
    world : mpi4py communicator
        All of them.
    """

    def __init__(self, world: Any) -> None:
        self._world = world
        self._notes: dict[int, dict[str, Any]] = {}
        self._sent: list[Any] = []
        self.deaths = 0
        """How often the launcher has said that a process ended."""
        self.rescue: Callable[[], str] = lambda: ""
        """Saves what there is to save, in the process that acts for all, and says so; to be set."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, self._count_death)

    def _count_death(self, number: int, frame: Any) -> None:
        self.deaths += 1

    def forget_deaths(self) -> None:
        """Say that from now on processes end as they should."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    def heard(self) -> dict[int, dict[str, Any]]:
        """Return the notes that have arrived so far, by rank."""
        from mpi4py import MPI

        status = MPI.Status()
        while self._world.Iprobe(MPI.ANY_SOURCE, _TAG, status):
            text = bytearray(status.Get_count())
            self._world.Recv(text, status.Get_source(), _TAG)
            self._notes[status.Get_source()] = json.loads(text)
        return self._notes

    def part(self, kind: str, sentence: str, code: int, patience: float) -> Farewell:
        """Take leave: write to all, read what all write, and return what came out.

        Parameters
        ----------
        kind : {"error", "waited"}
            What ended the work of this process: an error that it met, or a wait in vain.
        sentence : str
            Which; empty for an error that another process tells the user.
        code : int
            The exit code of that error.
        patience : float
            Seconds that the others have to answer.
        """
        rank, size = self._world.rank, self._world.size
        mine = {kind: sentence, "code": code}
        text = json.dumps(mine).encode()
        self._sent = [(self._world.Isend(text, r, _TAG), text) for r in range(size) if r != rank]
        end = time.monotonic() + patience
        while len(self.heard()) < size - 1 and time.monotonic() < end:
            if self.deaths and len(self._notes) >= size - 2:
                break  # all have answered but the one that ended
            time.sleep(0.002)
        return Farewell(rank, size, {**self._notes, rank: mine})
