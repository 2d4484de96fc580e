"""What a step takes of a GPU's memory: `DeviceMemory`, for a GPU what `MemoryWatch` is for a CPU.

Here a budget is a bound: CuPy's pool holds no more than that, and raises an error where more is
needed. So no step is checked afterwards; one is rehearsed before the first, and what does not fit
is found then (`out_of_memory`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from minideconv.engine.cpu import resident
from minideconv.engine.cuda import memory
from minideconv.settings.sizes import format_size, parse_size
from minideconv.training.memory_watch import FIRST_STEPS

__all__ = ["DeviceMemory"]


class DeviceMemory:
    """Looks at the memory of the first steps.

    Parameters
    ----------
    budget : str or None
        Of the device's memory; None for all of it.
    say : callable
        Takes a sentence for the user.

    Attributes
    ----------
    arrays_peak : int
        The most bytes that arrays had at one time, weights included.
    """

    def __init__(self, budget: str | None, say: Callable[[str], None]) -> None:
        self.budget = None if budget is None else parse_size(budget)
        self.say = say
        self.recorded: Callable[[], int] = lambda: 0
        self.arrays_peak = self.lasting = 0
        self._held = 0
        self._steps = 0
        self._limit: int | None = None

    @contextmanager
    def step(self) -> Iterator[None]:
        """Look at the step inside the block."""
        if self._limit is None and self.budget is not None:
            self._limit = memory.limit()
            memory.set_limit(self.budget)
        if self._steps < FIRST_STEPS:
            self.lasting = memory.used()
            with memory.measured() as peak:
                yield
            self.arrays_peak = max(self.arrays_peak, peak.nbytes)
        else:
            yield
        self._steps += 1
        self._held = max(self._held, memory.held() + self.recorded())
        if self._steps == FIRST_STEPS:
            self.say(f"memory: {self.summary()}")

    def validation(self) -> AbstractContextManager[None]:
        """Do nothing: on a GPU the bound holds for all that is computed, validation too."""
        return nullcontext()

    @property
    def step_bytes(self) -> int:
        """What a step takes beside what is there all the time."""
        return self.arrays_peak - self.lasting

    def peaks(self) -> dict[str, int]:
        """Return the peaks, for a line of metrics."""
        return {"process": resident.peak(), "device": self._held, "arrays": self.arrays_peak}

    def summary(self) -> str:
        """Return the peaks as a short text."""
        return (
            f"a step takes at most {format_size(self._held)} of the GPU's memory, of which "
            f"{format_size(self.arrays_peak)} in its arrays"
        )

    def end(self) -> None:
        """Remove the bound: training has ended."""
        if self._limit is not None:
            memory.set_limit(self._limit)
            self._limit = None
