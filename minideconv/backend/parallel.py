"""Worker threads for the CPU: `map_ordered` runs one function on several items at once.

NumPy releases the interpreter's lock inside large copies and matrix products, so plain threads use
all cores. OpenBLAS has threads of its own, which would fight with these for the cores:
`set_num_threads` therefore limits it to one, through threadpoolctl (the extra ``fast``). Without
threadpoolctl the work stays in one thread and OpenBLAS uses the cores inside its products.

Work is cut into the same parts whatever the number of threads, and results come back in the order
of the items: what is computed does not depend on how many threads computed it. A worker computes
with the choices (`choice`) of the thread that called.

The thread that calls does not wait but takes items itself, until there are none; workers that are
free by then help. So N threads are the caller and N - 1 workers, and handing over costs one message
to each, some ten microseconds, however many items there are: layers of a tenth of a millisecond are
worth cutting.

A process that is forked from this one has none of its threads. It gets workers of its own when it
first needs them. A lock that another thread held would stay locked in it for good: `hold_at_fork`
makes a fork wait for such a lock.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = [
    "cores",
    "get_num_threads",
    "hold_at_fork",
    "map_ordered",
    "part_size",
    "set_num_threads",
]

Item = TypeVar("Item")
Result = TypeVar("Result")

_NAME = "minideconv worker"
_pool: _Workers | None = None
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
        before.end()
    return threads


class _Job:
    """A function, its items, and who has which: one iterator, of which every thread takes."""

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self.function, self.items = function, items
        self.numbers = iter(range(len(items)))  # a step of it cannot be divided between threads
        self.results: list[Any] = [None] * len(items)
        self.errors: dict[int, BaseException] = {}

    def run(self) -> None:
        """Take items until there are none."""
        for number in self.numbers:
            try:
                self.results[number] = self.function(self.items[number])
            except BaseException as error:
                self.errors[number] = error
                deque(self.numbers, maxlen=0)  # what nobody has begun is not begun any more


class _Request:
    """The wish that a worker helps with a job; the caller takes it back if none has begun."""

    def __init__(self, job: _Job, context: Context) -> None:
        self.job, self.context = job, context
        self.taken, self.done = threading.Lock(), threading.Lock()
        self.done.acquire()

    def help(self) -> None:
        if self.taken.acquire(blocking=False):
            try:
                self.context.run(self.job.run)
            finally:
                self.done.release()

    def end(self) -> None:
        """Take the request back, or wait for who has taken it."""
        if not self.taken.acquire(blocking=False):
            self.done.acquire()


class _Workers:
    """So many threads that wait for requests."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.requests: SimpleQueue[_Request | None] = SimpleQueue()
        for number in range(count):
            name = f"{_NAME} {number}"
            threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _serve(self) -> None:
        while (request := self.requests.get()) is not None:
            request.help()
            del request  # its arrays are not kept until the next one

    def end(self) -> None:
        """Let each thread end when it has done what was asked before. Later requests are lost."""
        for _ in range(self.count):
            self.requests.put(None)

    def share(self, job: _Job) -> None:
        """Do a job together with the workers that are free."""
        context = copy_context()
        asked = min(self.count, len(job.items) - 1)
        requests = [_Request(job, context.copy()) for _ in range(asked)]
        for request in requests:
            self.requests.put(request)
        job.run()
        for request in requests:
            request.end()


def _workers(threads: int) -> _Workers | None:
    return _Workers(threads - 1) if threads > 1 else None


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


def part_size(size: int, most: int, summed: bool = False) -> int:
    """Return how many of `size` numbers a part holds: a quarter, from ``most / 4`` to `most`.

    Four parts keep a few threads busy; more of them cost time, since each begins anew with what the
    processor fetches ahead. One thread takes all as one part, unless the parts' results are
    `summed`: a sum that depended on the number of threads would be another one for each. Parts that
    are summed hold a half, since one thread has as many.

    Examples
    --------
    >>> [part_size(size, 1000, summed=True) for size in (100, 800, 9000)]
    [250, 400, 1000]
    """
    if _pool is None and not summed:
        return max(size, 1)
    return min(max(size // (2 if summed else 4), most // 4, 1), most)


def map_ordered(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return ``[function(item) for item in items]``, computed together with the workers, if any.

    Of several errors, the one of the first item is raised; items behind it may not be begun.
    """
    workers = _pool
    if workers is None or len(items) < 2:
        return [function(item) for item in items]
    job = _Job(function, items)
    workers.share(job)
    if job.errors:
        raise job.errors[min(job.errors)]
    return job.results
