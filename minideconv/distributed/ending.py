"""How a program of several processes ends, however it ends: `run_together`.

The user starts one program and expects one answer: the output of one process, one sentence if
something went wrong, one exit code. So rank 0 prints, the others are mute, and an error goes the
way that `peers` describes.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator

from minideconv.distributed.mpi import Mpi
from minideconv.errors import AlreadySaid, MinideconvError, in_words

__all__ = ["run_together"]


def run_together(talk: Mpi, name: str, program: Callable[[], int]) -> int:
    """Run ``program()`` in this process, as all others do; return the exit code of all.

    Parameters
    ----------
    talk : Mpi
        The processes. Nobody can speak to them afterwards.
    name : str
        The program's name, put in front of a sentence.
    program : callable
        Returns an exit code, the same one everywhere.
    """
    try:
        with _mute() if talk.rank else contextlib.nullcontext():
            code = program()
        talk.close()
        return code
    except BaseException as error:
        return _end(talk, name, in_words(error))


def _end(talk: Mpi, name: str, error: BaseException) -> int:
    sentence, code = _in_words(error)
    farewell = talk.part(error, sentence, code)
    if farewell.first:
        told = farewell.sentence(died=talk.peers.deaths > 0)
        if not farewell.orderly and (saved := _rescue(talk)):
            told += f"; {saved}"
        if told:
            print(f"{name}: {told}", file=sys.stderr, flush=True)
    if not isinstance(error, MinideconvError | SystemExit | KeyboardInterrupt):
        alike = [r for r, note in farewell.notes.items() if note.get("error") == sentence]
        if min(alike) == talk.rank:  # a bug, so show where; once, if all have met it
            traceback.print_exception(error)
    if farewell.orderly:
        talk.leave()
        return farewell.code
    if farewell.first:
        talk.abort(farewell.code)
    talk.wait_for_the_end(farewell.code)


def _in_words(error: BaseException) -> tuple[str, int]:
    """Return the sentence and the exit code of an error; those that were said already have none."""
    if isinstance(error, SystemExit):  # of the reader of the command line, who has said why
        return "", error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, AlreadySaid):
        return "", error.exit_code
    if isinstance(error, MinideconvError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "stopped at once", 130
    return f"{type(error).__name__}: {error}", 1


def _rescue(talk: Mpi) -> str:
    """Save what there is to save; that this may fail too is no reason to say nothing."""
    try:
        return talk.peers.rescue()
    except Exception as error:
        return f"nothing could be saved ({error})"


@contextlib.contextmanager
def _mute() -> Iterator[None]:
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield
