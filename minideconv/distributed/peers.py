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
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Farewell", "Peers"]

_TAG = 9191  # of notes; nothing else is sent from one process to one other


@dataclass
class Farewell:
    """How a run of several processes ended before its time."""

    first: bool
    """Whether this process is the one to save and to speak."""
    failed: dict[int, str] = field(default_factory=dict)
    """The sentences of those that met an error, by rank."""
    silent: list[int] = field(default_factory=list)
    """The ranks of those from which nothing was heard."""
    waiting: str = ""
    """Who waited how long for what, of those who met no error the lowest rank."""
    code: int = 1
    """The exit code for all."""

    def sentence(self, died: bool) -> str:
        """Say in one sentence what happened; `died` if the launcher saw a process end."""
        if self.failed:
            texts: dict[str, list[int]] = {}
            for rank, text in sorted(self.failed.items()):
                texts.setdefault(text, []).append(rank)
            if len(texts) == 1 and not self.silent and not self.waiting:
                return next(iter(texts))  # all met the same: it is nobody's own
            return "; ".join(f"{_ranks(ranks)}: {text}" for text, ranks in texts.items())
        if self.silent:
            how = "has ended" if died else "does not answer"
            if len(self.silent) > 1:
                how = "have ended" if died else "do not answer"
            return f"{_ranks(self.silent)} {how}; {self.waiting}"
        return self.waiting


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

    def part(self, failed: str, waiting: str, code: int, patience: float) -> Farewell:
        """Take leave: write to all, read what all write, and return what came out.

        Parameters
        ----------
        failed, waiting : str
            The error that this process met, or what it waited for; one of them is empty.
        code : int
            The exit code of that error.
        patience : float
            Seconds that the others have to answer.
        """
        rank, size = self._world.rank, self._world.size
        mine = {"failed": failed, "waiting": waiting, "code": code}
        text = json.dumps(mine).encode()
        self._sent = [(self._world.Isend(text, r, _TAG), text) for r in range(size) if r != rank]
        end = time.monotonic() + patience
        while len(self.heard()) < size - 1 and time.monotonic() < end:
            if self.deaths and len(self._notes) >= size - 2:
                break  # all have answered but the one that ended
            time.sleep(0.002)
        notes = {**self._notes, rank: mine}
        errors = {r: note["failed"] for r, note in notes.items() if note["failed"]}
        waits = {r: note["waiting"] for r, note in sorted(notes.items()) if note["waiting"]}
        codes = [notes[r]["code"] for r in sorted(errors)] or [code]
        return Farewell(
            first=rank == min(notes),
            failed=errors,
            silent=sorted(set(range(size)) - set(notes)),
            waiting=next((f"rank {r} {text}" for r, text in waits.items()), ""),
            code=codes[0],
        )
