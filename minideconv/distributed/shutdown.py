"""How a program of several processes ends, however it ends: `run_processes`.

The user starts one program and expects one answer: the output of one process, one sentence if
something went wrong, one exit code. So rank 0 prints, and the others are mute. A process that
cannot go on writes a note to all others, and waits a few seconds for theirs:

* all have written, because all met the same error (a wrong option) or were stopped: they leave;
* some have not: they compute, or wait for this one, or they are dead or hang. The lowest rank that
  has written says what happened and ends all processes.

Nothing is saved on this way: the last checkpoint is what a run goes on from.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import NamedTuple

from minideconv.distributed.mpi import Mpi
from minideconv.distributed.waiting import PeerLost
from minideconv.errors import MinideconvError, as_usage_error

__all__ = ["run_processes"]

PATIENCE = 10.0
"""Seconds that others have to come to the same end: processes do not start at the same time."""

_TAG = 9191  # of notes; nothing else is sent from one process to one other


class Note(NamedTuple):
    """Why a process cannot go on."""

    sentence: str
    """The error; empty if the user knows already."""
    code: int
    """The exit code that it asks for."""
    waited: bool = False
    """Whether it only waited for others, and messages may still be under way."""
    trace: str = ""
    """The traceback of a bug."""


def run_processes(comm: Mpi, name: str, program: Callable[[], int]) -> int:
    """Run ``program()`` in this process, as all others do; return the exit code of all.

    Parameters
    ----------
    comm : Mpi
        The processes. They cannot communicate afterwards.
    name : str
        The program's name, put in front of a sentence.
    program : callable
        Returns an exit code, the same one everywhere. What is to be done after an error that ends
        all processes at once may stand in the error's notes (``add_note``).
    """
    try:
        with _mute() if comm.rank else contextlib.nullcontext():
            code = program()
        comm.close()
        return code
    except BaseException as error:
        return _end(comm, name, as_usage_error(error))


def _end(comm: Mpi, name: str, error: BaseException) -> int:
    notes = _gather_notes(comm, note_of(error))
    together = all_came(notes, comm.size)
    if comm.rank == min(notes):
        advice = [] if together else getattr(error, "__notes__", [])
        if said := "; ".join(filter(None, [sentence(notes, comm.size), *advice])):
            print(f"{name}: {said}", file=sys.stderr)
        print(next((n.trace for n in notes.values() if n.trace), ""), end="", file=sys.stderr)
    elif not together:
        time.sleep(PATIENCE)  # the lowest rank ends the program meanwhile
    code = exit_code(notes)
    if not together:
        comm.abort(code)
    comm.leave()
    return code


def _gather_notes(comm: Mpi, own: Note) -> dict[int, Note]:
    """Send a note to all other ranks; return those that come within `PATIENCE`, in their order."""
    others = [rank for rank in range(comm.size) if rank != comm.rank]
    sent = [comm.world.isend(own, rank, _TAG) for rank in others]
    awaited = {rank: comm.world.irecv(source=rank, tag=_TAG) for rank in others}
    notes = {comm.rank: own}
    end = time.monotonic() + PATIENCE
    while len(notes) < comm.size and time.monotonic() < end:
        for rank in awaited.keys() - notes.keys():
            arrived, note = awaited[rank].test()
            if arrived:
                notes[rank] = note
        time.sleep(0.01)
    if len(notes) == comm.size:  # all are here to read
        for request in sent:
            request.wait()
    return dict(sorted(notes.items()))


def note_of(error: BaseException) -> Note:
    """Return what to tell the others about an error."""
    if isinstance(error, SystemExit):  # of the reader of the command line, who has said why
        return Note("", error.code if isinstance(error.code, int) else int(error.code is not None))
    if isinstance(error, MinideconvError):
        return Note(error.as_options, error.exit_code, isinstance(error, PeerLost))
    if isinstance(error, KeyboardInterrupt):
        return Note("stopped at once", 130)
    trace = "".join(traceback.format_exception(error))
    return Note(f"{type(error).__name__}: {error}", 1, trace=trace[-8000:])


def all_came(notes: dict[int, Note], size: int) -> bool:
    """Whether all processes have come to an end by themselves, so that nothing is under way."""
    return len(notes) == size and not any(note.waited for note in notes.values())


def exit_code(notes: dict[int, Note]) -> int:
    """Return the exit code for all: that of the first error."""
    return next((note.code for note in notes.values() if not note.waited), 1)


def sentence(notes: dict[int, Note], size: int) -> str:
    """Say in one sentence what happened to `size` processes of which some have written `notes`."""
    errors: dict[str, list[int]] = {}
    for rank, note in notes.items():
        if note.sentence and not note.waited:
            errors.setdefault(note.sentence, []).append(rank)
    if len(errors) == 1 and all_came(notes, size):
        return next(iter(errors))
    if errors:
        return "; ".join(f"{_ranks(ranks)}: {text}" for text, ranks in errors.items())
    silent = [rank for rank in range(size) if rank not in notes]
    answer = "does not answer" if len(silent) == 1 else "do not answer"
    parts = [f"{_ranks(silent)} {answer}"] if silent else []
    return "; ".join(parts + [f"rank {r} {n.sentence}" for r, n in notes.items() if n.waited][:1])


def _ranks(ranks: list[int]) -> str:
    return ("rank " if len(ranks) == 1 else "ranks ") + ", ".join(map(str, ranks))


@contextlib.contextmanager
def _mute() -> Iterator[None]:
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield
