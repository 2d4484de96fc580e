"""One training step of the paper's network: ``python -m benchmarks.full_step [--batch 2]``.

Forward, backward and update (SGD with momentum) of the 251,805,653-parameter DeconvNet on 224 x 224
images. Prints seconds and the process's peak memory as JSON. ``--allocator libc`` takes the memory
of large arrays from the C library instead of the engine's pool (docs/engine/memory.md).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import sys
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from benchmarks.contenders import step
from benchmarks.modes import available
from benchmarks.plans import PAPER
from benchmarks.timing import measure
from benchmarks.worker import peak_bytes
from minideconv.backend import parallel
from minideconv.engine.cpu import memory

MALLOPT = {  # glibc's malloc.h: number of the parameter, value
    "M_MMAP_MAX": (-4, 0),  # no array has pages of its own, which would go back when it dies
    "M_TRIM_THRESHOLD": (-1, 2**31 - 1),  # the end of the heap stays, too
    "M_TOP_PAD": (-2, 64 << 20),  # the heap grows by 64 MiB at a time
}
LINE = 64  # bytes of a cache line, on which the pool's arrays begin


def use_c_library() -> None:
    """Let the C library's allocator, set to keep its pages, serve `memory.empty`; glibc only."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        sys.exit("benchmarks.full_step: --allocator libc needs glibc, which has mallopt")
    for name, setting in MALLOPT.items():
        if mallopt(*setting) != 1:
            sys.exit(f"benchmarks.full_step: mallopt({name}, {setting[1]}) failed")
    memory._pool.empty = _aligned


def _aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    size = prod(shape) * np.dtype(dtype).itemsize
    owner = np.empty(size + LINE, np.uint8)
    start = -owner.ctypes.data % LINE
    return owner[start : start + size].view(dtype).reshape(shape)


def full_step(batch: int, steps: int, threads: int | None) -> dict[str, Any]:
    """Take `steps` steps on the same batch and return what they took."""
    used = parallel.set_num_threads(threads)
    mode = available(("fast", "numpy"))[0]
    run, parameters = step(mode, replace(PAPER, batch=batch))
    losses: list[float] = []
    seconds = [measure(lambda: losses.append(run())).wall for _ in range(steps)]
    return {
        "parameters": parameters,
        "mode": mode,
        "batch": batch,
        "threads": used,
        "losses": losses,
        "seconds_per_step": statistics.median(seconds),
        "peak_gib": peak_bytes() / 2**30,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--allocator", choices=("pool", "libc"), default="pool")
    arguments = parser.parse_args()
    if arguments.allocator == "libc":
        use_c_library()
    print(json.dumps(full_step(arguments.batch, arguments.steps, arguments.threads), indent=1))
