"""`ItemProcesses`: items made side by side by processes, where threads would wait for the GIL.

Decoding a photograph is C code, during which Pillow lets other threads run. Drawing a picture is
Python code, and of that one thread runs at a time. Such a data set has ``holds_gil = True``. Its
items, and the transforms that draw no random numbers, may then be made by other processes: an item
depends on its index alone, so which process makes it changes no byte.

    loader's threads  --indices-->  a thread for each process  --indices-->  `item_worker`
                     <--Future--                               <--arrays---

The processes are new ones (`subprocess`), neither forked, which CUDA forbids, nor multiprocessing's
"spawn", which runs the user's script a second time. They start while the first batches are made
here. Whatever goes wrong with them (a data set that cannot be pickled, one that is defined in the
user's script, a process that was killed) has the same remedy: the item is made here.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from minideconv.data.cache import ItemCache
from minideconv.data.prepare import Preparation
from minideconv.data.transforms import Pair

__all__ = ["ItemProcesses", "Pairs"]

Pairs = dict[int, Pair]

_WORTH = 128
"""Items for which it pays to start a process: in that time a core draws about as many pictures."""

_TOGETHER = 4
"""Items requested at once: a message costs the parent more time than what is in it."""

_PROGRAM = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer);"
    "from minideconv.data.item_worker import main; main()"
)
_ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class ItemProcesses:
    """Up to `count` processes that make a loader's items, while there are enough to be made.

    Parameters
    ----------
    dataset : data set
        With ``holds_gil = True``, or there will be no process. If it keeps items in an `ItemCache`
        named `cache`, those that the processes make are kept there too.
    preparation : Preparation
        Its fixed steps are done by the processes; what it keeps is not made again.
    count : int

    Attributes
    ----------
    running : list of subprocess.Popen
        The processes there are.
    """

    def __init__(self, dataset: Any, preparation: Preparation, count: int) -> None:
        self._dataset, self._preparation = dataset, preparation
        self._count = count if getattr(dataset, "holds_gil", False) else 0
        cache = getattr(dataset, "cache", None)
        self._cache: ItemCache[Any] = cache if isinstance(cache, ItemCache) else ItemCache(0)
        self._requests: SimpleQueue[tuple[list[int], Future[Pairs]] | None] = SimpleQueue()
        self._lock = threading.RLock()  # a finalizer may call `abandon` in the middle of anything
        self._ready, self._ended = 0, False
        self._started: list[threading.Event] = []
        self._threads: list[threading.Thread] = []
        self.running: list[_Process] = []

    def start(self, indices: Iterable[int]) -> None:
        """Start processes if these items are worth it; end them if there is nothing to make."""
        if self._count == 0:
            return
        lacking = sum(map(self._lacks, indices))
        if lacking == 0:
            self.end()
        elif not self._threads and lacking >= _WORTH:
            try:
                work = pickle.dumps((self._dataset, self._preparation.fixed), protocol=5)
            except Exception:  # whatever the data set's own code raises
                self._count = 0
                return
            self._requests = SimpleQueue()
            for _ in range(min(self._count, lacking // _WORTH)):
                started = threading.Event()
                thread = threading.Thread(
                    target=self._run, args=(work, started), name="minideconv-items", daemon=True
                )
                self._started.append(started)
                self._threads.append(thread)
                thread.start()

    def wait(self) -> None:
        """Wait until each process has started or failed to; calling this is optional."""
        for started in self._started:
            started.wait()

    def request(self, indices: Iterable[int]) -> dict[int, Future[Pairs]]:
        """Request those of the items that are not kept here; none while no process is ready.

        Returns
        -------
        By index, where the pair will be, or will be missing if it has to be made here after all.
        """
        found: dict[int, Future[Pairs]] = {}
        with self._lock:
            if self._ready and not self._ended:
                lacking = [index for index in dict.fromkeys(indices) if self._lacks(index)]
                for first in range(0, len(lacking), _TOGETHER):
                    some, future = lacking[first : first + _TOGETHER], Future[Pairs]()
                    self._requests.put((some, future))
                    found |= dict.fromkeys(some, future)
        return found

    def end(self) -> None:
        """End the processes, and wait for it."""
        self.abandon()
        for thread in self._threads:
            thread.join()
        self._started, self._threads, self.running = [], [], []
        self._ended = False

    def abandon(self) -> None:
        """End the processes, without waiting: for a finalizer, which may run in any thread.

        Requests that are under way are answered by nothing.
        """
        with self._lock:
            self._ended = True
            for process in self.running:
                process.kill()
            for _ in self._threads:
                self._requests.put(None)  # wakes a thread that waits

    def _lacks(self, index: int) -> bool:
        return index not in self._preparation and index not in self._cache

    # -- One thread for each process ------------------------------------------------------------

    def _run(self, work: bytes, started: threading.Event) -> None:
        """Start a process and let it answer requests until it ends."""
        ready = False
        # No such program, no memory, a data set that is not known there, killed: all the same.
        with suppress(Exception), _Process() as process:
            with self._lock:
                self.running.append(process)
                if self._ended:
                    process.kill()
            process.answer(pickle.dumps(sys.path) + work)
            with self._lock:
                self._ready, ready = self._ready + 1, True
            started.set()
            while not self._ended and (request := self._requests.get()) is not None:
                indices, future = request
                pairs: Pairs = {}
                try:
                    pairs, kept = process.answer(pickle.dumps(indices))
                    for key, arrays in kept.items():
                        self._cache.put(key, arrays)
                finally:
                    future.set_result(pairs)
        started.set()
        self._stop(ready)

    def _stop(self, ready: bool) -> None:
        """Take no more requests; the last thread to stop answers those that are left."""
        with self._lock:
            self._ready -= ready
            while self._ready == 0 and not self._requests.empty():
                request = self._requests.get()
                if request is not None:
                    request[1].set_result({})


class _Process(subprocess.Popen[bytes]):
    """A process that runs `item_worker`, to be used by one thread; any may kill it."""

    def __init__(self) -> None:
        super().__init__(
            [sys.executable, "-P", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_ENVIRONMENT},
            start_new_session=True,  # not to be interrupted by Ctrl-C, which is for this process
        )

    def answer(self, message: bytes) -> Any:
        """Send a message and return the answer.

        Raises
        ------
        Exception
            Of any type, if the process cannot make items.
        """
        assert self.stdin is not None
        assert self.stdout is not None
        self.stdin.write(message)
        self.stdin.flush()
        return pickle.load(self.stdout)

    def __exit__(self, *error: Any) -> None:
        self.kill()  # it has nothing that could be lost
        super().__exit__(*error)
