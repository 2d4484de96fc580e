"""A piece of the device's work, recorded once and started again with one call: CUDA graphs.

To start a kernel costs the CPU some 40 microseconds, in Python, in CuPy and in the driver. A step
of a small network has hundreds of kernels of a few microseconds each: the device waits for the CPU.
While a stream is *captured*, what is put on it is not done but written down, with all its
arguments; the graph that comes out is started as a whole.

A replay does not run the Python code again. Whatever that code decided stays as it was: addresses,
shapes, numbers passed by value. What changes from step to step must therefore be read from the
device's memory, at addresses that stay: the batch, the learning rate. The code may not read a
result while it is captured, for there is none.

Arrays that the code makes and drops come from a pool of its own, which lives as long as the graphs.
In the common pool their memory would be given to other arrays while replays still write to it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from minideconv.backend import cupy
from minideconv.engine.cuda import memory

__all__ = ["Recorder", "Recording"]


@dataclass(frozen=True)
class Recording:
    """A recorded piece of work: calling it starts it on the current stream."""

    graph: Any
    pool: Any
    """Lives as long as the graph, which has its memory."""

    def __call__(self) -> None:
        """Start the work."""
        self.graph.launch(cupy().cuda.get_current_stream())


class Recorder:
    """Records pieces of work that are never done at the same time: they share a pool.

    Where the common pool has a limit, theirs may take what is left of it.
    """

    def __init__(self) -> None:
        self._pool = cupy().cuda.MemoryPool()
        if memory.limit():
            self._pool.set_limit(size=max(1, memory.limit() - memory.held()))

    @property
    def nbytes(self) -> int:
        """What the recorded work keeps of the device's memory."""
        return int(self._pool.total_bytes())

    def record(self, work: Callable[[], Any]) -> Recording:
        """Call `work` on the current stream without executing its kernels; return what does.

        `work` must have run before: the first time, kernels are compiled and tables are made.

        Raises
        ------
        Exception
            What `work` raised, or what CUDA reports if it did what cannot be recorded: a result
            read back, a wait.
        """
        cuda = cupy().cuda
        stream = cuda.get_current_stream()
        with cuda.using_allocator(self._pool.malloc):
            stream.begin_capture()
            try:
                work()
            except BaseException:
                with suppress(Exception):  # the same error once more
                    stream.end_capture()
                raise
            graph = stream.end_capture()
        return Recording(graph, self._pool)
