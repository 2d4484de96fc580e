"""What a new array costs beside one in memory used before: ``python -m benchmarks.fresh_memory``.

``2 * a`` into a new NumPy array, into one of `engine.cpu.memory`, and into an array that is kept:
the processor's milliseconds, medians of 15, taking turns.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from minideconv.engine.cpu import memory


def milliseconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return 1e3 * (time.process_time() - start)


def measure(mebibytes: int) -> dict[str, float]:
    a = np.ones(mebibytes << 18, np.float32)
    kept = np.ones_like(a)
    ways: dict[str, Callable[[], object]] = {
        "new": lambda: np.multiply(a, 2.0),
        "pool": lambda: np.multiply(a, 2.0, out=memory.empty(a.shape)),
        "kept": lambda: np.multiply(a, 2.0, out=kept),
    }
    for way in ways.values():
        way()
    rounds = [{name: milliseconds(way) for name, way in ways.items()} for _ in range(15)]
    found = {name: statistics.median(turn[name] for turn in rounds) for name in ways}
    memory.trim()
    return {"MiB": mebibytes, **{name: round(value, 2) for name, value in found.items()}}


if __name__ == "__main__":
    for size in (4, 16, 32, 48, 64, 128, 256, 400):
        print(json.dumps(measure(size)), flush=True)
