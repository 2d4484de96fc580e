"""Worker threads for the CPU: `map_ordered` runs one function on several items at once.

NumPy releases the interpreter's lock inside large copies and matrix products, so plain threads use
all cores. OpenBLAS has threads of its own, which would fight with these for the cores:
`set_num_threads` therefore limits it to one, through threadpoolctl (the extra ``fast``). Without
threadpoolctl the work stays in one thread and OpenBLAS uses the cores inside its products.

Work is cut into the same parts whatever the number of threads, and results come back in the order
of the items: what is computed does not depend on how many threads computed it. A worker computes
with the choices (`choice`) of the thread that called.

A process that is forked from this one has none of its threads. It gets workers of its own when it
first needs them. A lock that another thread held would stay locked in it for good: `hold_at_fork`
makes a fork wait for such a lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

__all__ = ["cores", "get_num_threads", "hold_at_fork", "map_ordered", "set_num_threads"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_NAME = "minideconv worker"
_pool: ThreadPoolExecutor | None = None
_threads = 1
_changing = threading.RLock()


def cores() -> set[int]:
    """Return the numbers of the processor cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return set(affinity(0)) if affinity else set(range(os.cpu_count() or 1))


def get_num_threads() -> int:
    """Return the number of worker threads; 1 means that no worker is used."""
    return _threads


def set_num_threads(threads: int | None = None) -> int:
    """Use `threads` worker threads (None: one per core) and return how many are used.

    The number is 1 where threadpoolctl is missing: workers without it would be slower than none.
    It may be changed while other threads compute: what they have begun is done by the workers that
    they began it with, or by themselves, with the same result.

    Raises
    ------
    ValueError
        If `threads` is below 1.
    """
    global _pool, _threads
    if threads is None:
        threads = len(cores())
    if threads < 1:
        raise ValueError(f"set_num_threads: threads is {threads}; it must be at least 1")
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return _threads
    with _changing:  # of two threads that change it at once, each ends the workers it replaces
        threadpool_limits(1)
        before, _threads = _pool, threads
        _pool = _workers(threads)
    if before is not None:
        # What another thread has handed to them is still done. A worker cannot wait for itself.
        before.shutdown(wait=not threading.current_thread().name.startswith(_NAME))
    return threads


def _workers(threads: int) -> ThreadPoolExecutor | None:
    return ThreadPoolExecutor(threads, _NAME) if threads > 1 else None


def _after_fork() -> None:
    """In a new process, which has none of the threads: take other workers."""
    global _pool
    _pool = _workers(_threads)


def hold_at_fork(lock: Any) -> None:
    """Let no process be forked while another thread holds `lock`: what it guards is then whole.

    It must be an RLock, which the thread that forks may hold already.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )


hold_at_fork(_changing)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def map_ordered(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return ``[function(item) for item in items]``, computed by the workers if there are any.

    `function` must not call `map_ordered` itself: the workers would wait for each other.
    """
    pool = _pool
    if pool is None or len(items) < 2:
        return [function(item) for item in items]
    context = copy_context()
    waiting: list[Future[Result]] = []
    try:
        for item in items:
            try:
                waiting.append(pool.submit(context.copy().run, function, item))
            except RuntimeError:  # another thread has just changed the number of workers
                break
        results = [future.result() for future in waiting]
    finally:
        for future in waiting:
            future.cancel()
    return results + [function(item) for item in items[len(results) :]]
