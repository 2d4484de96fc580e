"""A process that makes items for `item_processes`; it reads requests and writes answers, no more.

    parent -> worker    sys.path; (data set, fixed steps); then one list of indices after the other
    worker -> parent    True, when the data set is there; then for each list what `_made` returns

All of it pickled. An item that fails is left out: the parent makes it itself, and so it raises
what it would have raised without the worker. The worker ends when its input does, which is
also what it sees of a parent that has died.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import sys
from contextlib import suppress
from typing import Any, BinaryIO

from minideconv.data.cache import ItemCache
from minideconv.data.prepare import begun

__all__ = ["main"]


def main() -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this
    requests, answers = _own_pipes()
    with suppress(EOFError, BrokenPipeError):
        dataset, fixed = pickle.load(requests)
        _send(True, answers)
        while True:
            _send(_made(dataset, fixed, pickle.load(requests)), answers)


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return standard input and output; what a library reads or prints is none of the parent's."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    sys.stdin = io.StringIO()
    os.dup2(2, 1)
    return requests, answers


def _send(answer: Any, answers: BinaryIO) -> None:
    pickle.dump(answer, answers, protocol=5)
    answers.flush()


def _made(dataset: Any, fixed: list[Any], indices: list[int]) -> tuple[Any, dict[int, Any]]:
    """Return the items after the fixed steps, by index, and what the data set would keep."""
    pairs = {}
    for index in indices:
        with suppress(Exception):
            pairs[index] = begun(dataset[index], fixed)
    cache = getattr(dataset, "cache", None)
    return pairs, cache.take_all() if isinstance(cache, ItemCache) else {}
