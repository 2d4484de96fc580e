"""Processes connected by MPI: `Mpi`, for arrays in the memory of the CPU, and others through it.

mpi4py finds the MPI library of the machine; its ``mpiexec`` starts the processes and connects
them. Every operation here is begun without waiting (``Iallreduce`` and its kind) and then waited
for with a limit.

Large arrays go in buckets: MPI counts elements in 32 bits, a buffer for arrays of a GPU need be no
larger than a bucket, and the next bucket is under way while the library adds up one.

Source: L. Dalcin, Y.-L. Fang, "mpi4py: Status Update After 12 Years of Development" (Computing in
Science & Engineering, 2021); S. Li et al., "PyTorch Distributed: Experiences on Accelerating Data
Parallel Training" (VLDB 2020), section 3.2, for the buckets and their 25 MB.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from minideconv.backend import Array, cupy, get_xp, parallel
from minideconv.distributed.communicator import Communicator
from minideconv.distributed.waiting import wait_until

__all__ = ["Mpi"]

BUCKET = 25_000_000
"""Bytes of an array that travel as one message."""


class Mpi(Communicator):
    """The processes that one ``mpiexec`` started.

    Parameters
    ----------
    world : mpi4py communicator
        Them; ``MPI.COMM_WORLD``.
    limit : float
        Seconds that a wait for the others may last.
    """

    def __init__(self, world: Any, limit: float = 300.0) -> None:
        self.world = world
        self.rank, self.size = int(world.rank), int(world.size)
        self.limit = limit
        self._pinned: Any = None
        from mpi4py import MPI  # here: only where a launcher started several processes

        self._mpi = MPI
        own = parallel.cores()
        machines, cores = zip(
            *self.all_gather_object([MPI.Get_processor_name(), sorted(own)]), strict=True
        )
        self.local_rank = machines[: self.rank].count(machines[self.rank])
        # The launcher may have given each process cores of its own, or all of them the same.
        here = [c for c, name in zip(cores, machines, strict=True) if name == machines[self.rank]]
        self.cores = min(len(own), max(1, len(set().union(*here)) // len(here)))

    # -- Arrays -----------------------------------------------------------------------------------

    def broadcast_(self, array: Array, root: int = 0) -> None:
        """Overwrite `array` with that of the process `root`."""
        if get_xp(array) is not np:
            self._broadcast_on_device(array, root)
            return
        flat = _contiguous(array)
        what = f"an array of rank {root}"
        self._all([self.world.Ibcast(part, root) for part in _buckets(flat)], what)
        _copy_back(flat, array)

    def all_reduce_(self, array: Array, op: str = "sum") -> None:
        """Overwrite `array` with the "sum" (or "max") over all processes: the same bits on each."""
        if get_xp(array) is not np:
            self._all_reduce_on_device(array, op)
            return
        flat = _contiguous(array)
        if flat.dtype == np.float16:  # unknown to MPI
            flat = flat.astype(np.float32)
        in_place, operation = self._mpi.IN_PLACE, getattr(self._mpi, op.upper())
        parts = _buckets(flat)
        requests = [self.world.Iallreduce(in_place, part, operation) for part in parts]
        self._all(requests, f"the {op} over all processes")
        _copy_back(flat, array)

    def all_gather(self, array: Array) -> Array:
        """Return the arrays of all processes, in the order of the ranks: (size, *shape)."""
        if get_xp(array) is not np:
            return self._all_gather_on_device(array)
        own = np.ascontiguousarray(array)
        rows = np.empty((self.size, *own.shape), own.dtype)
        self._all([self.world.Iallgather(own, rows)], "the arrays of all processes")
        return rows

    def _all(self, requests: list[Any], what: str) -> None:
        for request in requests:
            self._until(request.Test, what)

    def _until(self, done: Callable[[], object], what: str) -> None:
        wait_until(done, what, self.limit)

    # -- Arrays of a GPU, by way of the memory of the CPU -----------------------------------------

    def _all_reduce_on_device(self, array: Array, op: str) -> None:
        self._by_way_of_the_cpu(array, lambda host: self.all_reduce_(host, op))

    def _broadcast_on_device(self, array: Array, root: int) -> None:
        self._by_way_of_the_cpu(array, lambda host: self.broadcast_(host, root))

    def _by_way_of_the_cpu(self, array: Array, work: Callable[[Array], None]) -> None:
        """Overwrite an array of the GPU with what ``work`` makes of its copy, by buckets."""
        if self._pinned is None:  # page-locked: the GPU reads and writes it at full speed
            self._pinned = cupy().cuda.alloc_pinned_memory(BUCKET)
        flat: Any = _contiguous(array)
        for part in _buckets(flat):
            host = part.get(out=np.frombuffer(self._pinned, part.dtype, part.size))
            work(host)
            part.set(host)
        _copy_back(flat, array)

    def _all_gather_on_device(self, array: Array) -> Array:
        return get_xp(array).asarray(self.all_gather(array.get()))  # type: ignore[attr-defined]

    # -- Values, and coming together --------------------------------------------------------------

    def all_gather_object(self, value: Any) -> list[Any]:
        """Return the plain values (what JSON can write) of all processes, in their order."""
        text = json.dumps(value).encode()
        length = np.array(len(text))
        self.all_reduce_(length, "max")
        rows = self.all_gather(np.frombuffer(text.ljust(int(length)), np.uint8))
        return [json.loads(row.tobytes()) for row in rows]

    def barrier(self) -> None:
        """Wait until every process has called it."""
        self._all([self.world.Ibarrier()], "all processes to come together")

    # -- Ending -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Finish: every process must call it."""
        self.barrier()
        self.leave()

    def leave(self) -> None:
        """Finalise MPI: this process does not communicate any more."""
        self._mpi.Finalize()

    def abort(self, code: int = 1) -> NoReturn:
        """End all processes now, this one too, with an exit code."""
        sys.stdout.flush()
        sys.stderr.flush()
        time.sleep(0.2)  # what was printed shall reach the launcher before the end does
        self.world.Abort(code)
        os._exit(code)


def _contiguous(array: Array) -> Array:
    """Return `array` in one dimension: a view if it is contiguous, else a copy."""
    return get_xp(array).ascontiguousarray(array).reshape(-1)


def _copy_back(flat: Array, array: Array) -> None:
    """Write a result into `array` if `flat` is a copy of it."""
    if not array.flags.c_contiguous or flat.dtype != array.dtype:
        array[...] = flat.reshape(array.shape)


def _buckets(flat: Array) -> Iterator[Any]:
    step = BUCKET // flat.itemsize
    for first in range(0, max(1, flat.size), step):
        yield flat[first : first + step]
