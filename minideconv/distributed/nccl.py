"""Processes with a GPU each: arrays of GPUs travel from one to the other by NCCL, `Nccl`.

NCCL is NVIDIA's library of collective operations between GPUs, over NVLink inside a machine and
InfiniBand between machines. Its operations are put into the GPU's stream like a kernel: the call
returns at once, and what comes behind it in the stream waits for it. MPI starts the processes,
carries NCCL's identifier to all of them once, and remains for what is in the memory of the CPU.

A GPU that waits for a dead process does so for ever, and the program sees nothing of it. So after
the sum of the gradients `synchronize` looks at the stream, with a limit.

Source: NVIDIA, "NCCL Documentation", sections "Creating a communicator" and "Fault tolerance".
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from minideconv.backend import Array, cupy, nccl
from minideconv.distributed.mpi import Mpi, _contiguous, _copy_back
from minideconv.distributed.waiting import PeerLost

__all__ = ["Nccl"]


class Nccl(Mpi):
    """The processes that one ``mpiexec`` started, each with one GPU.

    Parameters
    ----------
    comm : Mpi
        The processes; its ranks and its way of waiting stay in use.
    device : int
        Number of this process's GPU; it is made the current one.
    """

    def __init__(self, comm: Mpi, device: int) -> None:
        self.__dict__.update(vars(comm))
        cp = cupy()
        cp.cuda.Device(device).use()
        self._device = device
        self._nccl = nccl()
        identifier = self._nccl.get_unique_id() if self.rank == 0 else bytes(128)
        buffer = np.frombuffer(bytes(identifier), np.uint8).copy()
        self.broadcast_(buffer)
        self._nccl_comm: Any = None
        # Creating it is a meeting of all; NCCL's own wait for those who do not come has no end.
        self._failure: Exception | None = None
        creator = threading.Thread(target=self._create, args=(buffer.tobytes(),), daemon=True)
        creator.start()
        self._until(lambda: not creator.is_alive(), "NCCL to connect all processes")
        if self._failure is not None:
            raise PeerLost(f"NCCL could not connect the processes: {self._failure}")

    def _create(self, identifier: bytes) -> None:
        try:
            cupy().cuda.Device(self._device).use()  # a thread has a current device of its own
            self._nccl_comm = self._nccl.NcclCommunicator(self.size, identifier, self.rank)
        except Exception as error:  # handed to the thread that waits
            self._failure = error

    # -- Arrays of the GPU ------------------------------------------------------------------------

    def _all_reduce_on_device(self, array: Array, op: str) -> None:
        flat = _contiguous(array)
        operation = getattr(self._nccl, f"NCCL_{op.upper()}")
        pointer = _address(flat)
        self._begin("allReduce", pointer, pointer, flat.size, self._type(flat), operation)
        _copy_back(flat, array)

    def _broadcast_on_device(self, array: Array, root: int) -> None:
        flat = _contiguous(array)
        self._begin("bcast", _address(flat), flat.size, self._type(flat), root)
        _copy_back(flat, array)

    def _all_gather_on_device(self, array: Array) -> Array:
        own = _contiguous(array)
        rows: Array = cupy().empty((self.size, *array.shape), array.dtype)
        self._begin("allGather", _address(own), _address(rows), own.size, self._type(own))
        return rows

    def _type(self, array: Array) -> int:
        found = getattr(self._nccl, f"NCCL_{array.dtype.name.upper()}", None)
        if found is None:
            raise TypeError(
                f"Nccl: an array has dtype {array.dtype}; it must be float16, float32, float64 or"
                " an integer of 8, 32 or 64 bits"
            )
        return int(found)

    def _begin(self, operation: str, *arguments: Any) -> None:
        """Put an operation into the current stream."""
        try:
            getattr(self._nccl_comm, operation)(*arguments, cupy().cuda.get_current_stream().ptr)
        except self._nccl.NcclError as error:
            raise PeerLost(f"NCCL's {operation} failed: {error}") from error

    # -- Waiting and ending -----------------------------------------------------------------------

    def synchronize(self) -> None:
        """Wait until all that was begun on the GPU has reached every process, or raise."""
        mark = cupy().cuda.Event(disable_timing=True)
        mark.record()
        self._until(lambda: mark.done or self._check(), "the GPUs of the others")

    def _check(self) -> bool:
        try:
            self._nccl_comm.check_async_error()
        except self._nccl.NcclError as error:
            raise PeerLost(f"NCCL lost its connection: {error}") from error
        return False

    def close(self) -> None:
        """Finish: every process must call it."""
        self.synchronize()
        self._nccl_comm.destroy()
        self._nccl_comm = None
        super().close()


def _address(array: Array) -> int:
    return int(array.data.ptr)  # type: ignore[attr-defined]
