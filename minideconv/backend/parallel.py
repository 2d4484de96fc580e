"""Worker threads for the CPU: `map_ordered` runs one function on several items at once.

NumPy releases the interpreter's lock inside large copies and matrix products, so plain threads use
all cores. OpenBLAS has threads of its own, which would fight with these for the cores:
`set_num_threads` therefore limits it to one, through threadpoolctl (the extra ``fast``). Without
threadpoolctl the work stays in one thread and OpenBLAS uses the cores inside its products.

Work is cut into the same parts whatever the number of threads, and results come back in the order
of the items: what is computed does not depend on how many threads computed it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["cores", "get_num_threads", "map_ordered", "set_num_threads"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_pool: ThreadPoolExecutor | None = None
_threads = 1


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
    threadpool_limits(1)
    if _pool is not None:
        _pool.shutdown()
    _pool = ThreadPoolExecutor(threads, "minideconv") if threads > 1 else None
    _threads = threads
    return threads


def map_ordered(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return ``[function(item) for item in items]``, computed by the workers if there are any.

    `function` must not call `map_ordered` itself: the workers would wait for each other.
    """
    if _pool is None or len(items) < 2:
        return [function(item) for item in items]
    return list(_pool.map(function, items))
