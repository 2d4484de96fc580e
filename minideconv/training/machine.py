"""How a run computes, which is no part of what it computes: threads and algorithms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minideconv import parallel
from minideconv.algorithms import algorithm

__all__ = ["computing"]


@contextmanager
def computing(threads: int, algorithm_name: str | None) -> Iterator[None]:
    """Compute with so many threads (0: one per core) and these algorithms inside the block.

    A run may change both from one sitting to the next.
    """
    before = parallel.get_num_threads()
    parallel.set_num_threads(threads or None)
    try:
        with algorithm(algorithm_name):
            yield
    finally:
        if parallel.get_num_threads() != before:
            parallel.set_num_threads(before)
