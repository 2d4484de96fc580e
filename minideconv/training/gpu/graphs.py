"""Pieces of a step that come again: done at first, then recorded and only replayed.

A piece is named by all that decides what it does: its shapes, its place in the step. The first
times, it is simply done: kernels are compiled, tables are filled, memory is measured. Then it is
recorded, if that pays.

When it pays is decided by arithmetic. On the way through Python and CuPy a kernel costs the host
some 40 microseconds, and a step of a DeconvNet starts about a thousand: 40 to 50 ms (measured
beside an H200, docs/engine/gpu_step.md), in which the device can walk over 200 GB. It does walk
some 14 times over what a step keeps in memory. So a step whose arrays take less than 14 GiB waits
for the host, and one whose arrays take more does not: the former is recorded. On a slower device it
pays less, and costs nothing but memory: the arrays of the step are its own and cannot be used for
anything else. So a step that takes more than half of the device's memory is not recorded either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable

from minideconv import random
from minideconv.backend.algorithms import get_algorithm
from minideconv.backend.precisions import get_precision
from minideconv.engine.cuda import memory
from minideconv.engine.cuda.graph import Recorder, Recording
from minideconv.errors import TrainingError
from minideconv.settings.setting import refusal
from minideconv.settings.sizes import format_size

__all__ = ["PAYS_BELOW", "WARM_UP", "GraphCache"]

PAYS_BELOW = 14 << 30
"""Bytes of a step's arrays below which ``auto`` records it."""

WARM_UP = 2
"""How often a piece is done before it is recorded."""


class GraphCache:
    """Does pieces of work, or replays them.

    Parameters
    ----------
    choice : {"auto", "on", "off"}
        Whether to record.
    arrays : callable
        Returns the bytes that the arrays of a step take.
    say : callable
        Takes a sentence for the user.
    """

    def __init__(self, choice: str, arrays: Callable[[], int], say: Callable[[str], None]) -> None:
        self._choice, self._arrays, self._say = choice, arrays, say
        self._state: Hashable = None
        self._reported = False
        self.forget()

    @property
    def nbytes(self) -> int:
        """The memory that recorded pieces keep."""
        return 0 if self._recorder is None else self._recorder.nbytes

    def forget(self) -> None:
        """Forget what was recorded, as when the network or its optimiser has become another."""
        self._times: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, Recording] = {}
        self._recorder: Recorder | None = None
        self._drew_random = False
        self._failed = ""
        self._refused = False

    def run(self, piece: Hashable, state: Hashable, work: Callable[[], None]) -> None:
        """Do a piece of work.

        Parameters
        ----------
        piece : hashable
            Its name, with all that it depends on and that differs from time to time.
        state : hashable
            What all pieces depend on and that hardly ever changes: if it does, all are forgotten.
        work : callable
            Does it, on the current stream.

        Raises
        ------
        TrainingError
            If recording is "on" and not possible.
        """
        state = (state, get_precision(), get_algorithm())
        if state != self._state:
            self._state = state
            self.forget()
        if piece in self._recorded:
            self._recorded[piece]()
        elif self._times[piece] < WARM_UP or not self._wanted():
            self._times[piece] += 1
            before = random.get_state() if self._times[piece] <= WARM_UP else None
            work()
            self._drew_random |= before is not None and random.get_state() != before
        elif self._record(piece, work):
            self._recorded[piece]()
        else:
            work()

    def _wanted(self) -> bool:
        """Return whether to record; report once why not."""
        if self._refused:
            return False
        reason = self._reason_against()
        if reason:
            self._refused = True
            self._report(f"graph: steps are not recorded: {reason}")
        return not reason

    def _report(self, text: str) -> None:
        if not self._reported and self._choice != "off":
            self._reported = True
            self._say(text)

    def _reason_against(self) -> str:
        """Return why nothing is recorded; nothing if it is."""
        if self._choice == "off":
            return "off"
        reason = ""
        if get_algorithm() == "reference":
            reason = "the reference algorithms ask the device for results"
        elif self._drew_random:
            reason = "the network draws random numbers on the host"
        elif self._failed:
            reason = self._failed
        if reason and self._choice == "on":
            raise refusal(
                lambda name: f"{name('graph')} on: a step cannot be recorded: {reason}",
                TrainingError,
            )
        if not reason and self._choice == "auto":
            takes, room = self._arrays(), memory.room_on_device()
            if takes >= PAYS_BELOW:
                reason = f"its arrays take {format_size(takes)}: the host keeps up"
            elif 2 * takes > room:
                reason = f"its arrays take {format_size(takes)} of the {format_size(room)} there is"
        return reason

    def _record(self, piece: Hashable, work: Callable[[], None]) -> bool:
        """Record a piece; return False, and report why, if something in it cannot be recorded."""
        if self._recorder is None:
            memory.release()  # what the first steps used; the recorded one has memory of its own
            self._recorder = Recorder()
        try:
            self._recorded[piece] = self._recorder.record(work)
        except Exception as error:
            self.forget()
            self._failed, self._reported = f"{type(error).__name__}: {error}", False
            return self._wanted()
        self._report("graph: steps are recorded")
        return True
