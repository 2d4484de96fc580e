"""What CuPy has of the device's memory: how much, at most, and which errors mean too little.

CuPy keeps the memory of arrays that died in a pool, for the next ones. So three numbers differ:
what arrays *use*, what the pool *holds* (which no other program can have), and the most that was
used at one time. The last one is measured by a hook that CuPy calls at every array.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from minideconv.backend import cupy

__all__ = [
    "bytes_asked",
    "held",
    "limit",
    "measured",
    "release",
    "room_on_device",
    "set_limit",
    "used",
    "with_room",
]

T = TypeVar("T")


def used() -> int:
    """Return the bytes of the arrays that are there."""
    return int(cupy().get_default_memory_pool().used_bytes())


def held() -> int:
    """Return the bytes that the pool has of the device's memory."""
    return int(cupy().get_default_memory_pool().total_bytes())


def limit() -> int:
    """Return the most that the pool may hold; 0 for no limit."""
    return int(cupy().get_default_memory_pool().get_limit())


def set_limit(nbytes: int) -> None:
    """Let the pool hold so many bytes; 0 for no limit."""
    cupy().get_default_memory_pool().set_limit(size=nbytes)


def release() -> None:
    """Give what no array uses back to the device, once the work that is under way has ended."""
    cupy().cuda.get_current_stream().synchronize()
    cupy().get_default_memory_pool().free_all_blocks()


def room_on_device() -> int:
    """Return how many bytes the pool could hold: its limit, or what the device has left for it."""
    free, _ = cupy().cuda.runtime.memGetInfo()
    return min(int(free) + held(), limit() or 1 << 62)


_OUT_OF_MEMORY = (
    "cudaErrorMemoryAllocation",  # the runtime
    "CUDA_ERROR_OUT_OF_MEMORY",  # the driver: loading a module
    "CUBLAS_STATUS_ALLOC_FAILED",
)


@contextmanager
def measured() -> Iterator[Any]:
    """Measure the peak of what arrays use inside the block, `nbytes`; does not synchronise."""

    class Peak(cupy().cuda.MemoryHook):  # type: ignore[misc]  # its base has no types
        def __init__(self) -> None:
            self.name = f"peak {id(self)}"  # they may be nested
            self.nbytes = self.now = used()

        def malloc_postprocess(self, **call: Any) -> None:
            self.now += call["mem_size"]
            self.nbytes = max(self.nbytes, self.now)

        def free_postprocess(self, **call: Any) -> None:
            self.now -= call["mem_size"]

    with Peak() as peak:
        yield peak


def bytes_asked(error: BaseException) -> int | None:
    """Return how many bytes were not there, or None if `error` is about something else."""
    if isinstance(error, cupy().cuda.memory.OutOfMemoryError):
        found = re.search(r"allocating ([\d,]+) bytes", str(error))
        return int(found[1].replace(",", "")) if found else 0
    named = isinstance(error, RuntimeError) and any(name in str(error) for name in _OUT_OF_MEMORY)
    return 0 if named else None


def with_room(call: Callable[[], T]) -> T:
    """Return ``call()``; where the device has no memory for it, give back what is free and retry.

    CuPy does so for arrays. But the code of a kernel, when it is first launched, and cuBLAS's own
    memory come from the device itself, of which the pool may hold everything.
    """
    try:
        return call()
    except RuntimeError as error:
        recorded = cupy().cuda.get_current_stream().is_capturing()
        if recorded or bytes_asked(error) is None or held() == used():
            raise
    release()
    return call()
