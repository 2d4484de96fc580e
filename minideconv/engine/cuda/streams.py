"""The stream that computes, and how work on one stream is put behind work on another.

A stream is a queue: a GPU does what is in one queue in order, and what is in several at once. CuPy
starts on the oldest of them, the "null stream", which cannot be recorded as a graph and waits for
all others of its kind. So a run computes on a stream of its own, and only the streams wait for each
other: an event is a mark in one queue for which another queue waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from minideconv.backend import Device, cupy

__all__ = ["computing_on", "put_behind"]


@contextmanager
def computing_on(device: Device) -> Iterator[None]:
    """Compute on `device` inside the block, on its computing stream; on the CPU, change nothing."""
    if device.type == "cpu":
        yield
        return
    cuda = cupy().cuda
    with cuda.Device(device.index):
        before, stream = cuda.get_current_stream(), _stream(device.index)
        put_behind(stream, before)
        try:
            with stream:
                yield
        finally:
            put_behind(before, stream)


def put_behind(later: Any, earlier: Any) -> None:
    """Make all further work on the stream `later` wait for what is now on the stream `earlier`."""
    if later.ptr != earlier.ptr:
        mark = cupy().cuda.Event(disable_timing=True)
        mark.record(earlier)
        later.wait_event(mark)


@cache
def _stream(index: int) -> Any:
    return cupy().cuda.Stream(non_blocking=True)
