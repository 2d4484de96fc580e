"""The collective operations between several processes that training needs.

    broadcast_         every process gets the array of one of them
    all_reduce_        every process gets the sum (or the maximum) of all their arrays
    all_gather         every process gets all the arrays, in the order of the ranks
    all_gather_object  the same for small plain values: settings, sentences
    barrier            no process continues before all have called it

Each is *collective*: every process must call it, all in the same order, with arrays of one shape
and type. A process that does not come leaves the others waiting, so every wait has a limit (see
`waiting`). The library is written against this interface. In a plain run the communicator is a
`Single`, and no other code has to distinguish whether there are other processes.

Source of the names: Message Passing Interface Forum, "MPI: A Message-Passing Interface Standard",
version 4.1, chapter 6, "Collective Communication".
"""

from __future__ import annotations

from typing import Any

from minideconv.backend import Array, get_xp, parallel

__all__ = ["Communicator", "Single"]


class Communicator:
    """Several processes that work on one thing. Arrays are NumPy's or CuPy's."""

    rank: int
    """This process's number, 0 to size - 1."""
    size: int
    """Number of processes."""
    local_rank: int
    """This process's number among those on the same machine: the number of its GPU."""
    cores: int
    """Processor cores that this process may use without taking them from those beside it."""

    def broadcast_(self, array: Array, root: int = 0) -> None:
        """Overwrite `array` with that of the process `root`."""

    def all_reduce_(self, array: Array, op: str = "sum") -> None:
        """Overwrite `array` with the "sum" (or "max") over all processes: the same bits on each."""

    def all_gather(self, array: Array) -> Array:
        """Return the arrays of all processes, in the order of the ranks: (size, *shape)."""
        raise NotImplementedError

    def all_gather_object(self, value: Any) -> list[Any]:
        """Return the plain values (what JSON can write) of all processes, in their order."""
        raise NotImplementedError

    def barrier(self) -> None:
        """Wait until every process has called it."""

    def synchronize(self) -> None:
        """Wait until all that was begun on the GPU has reached every process, or raise."""

    def close(self) -> None:
        """Finish: every process must call it."""


class Single(Communicator):
    """The communicator of a single process: arrays stay as they are, and nothing is waited for."""

    rank, size, local_rank = 0, 1, 0

    def __init__(self) -> None:
        self.cores = len(parallel.cores())

    def all_gather(self, array: Array) -> Array:
        """Return a copy of `array` as the only row."""
        gathered: Array = get_xp(array).array(array)[None]
        return gathered

    def all_gather_object(self, value: Any) -> list[Any]:
        """Return `value` alone."""
        return [value]
