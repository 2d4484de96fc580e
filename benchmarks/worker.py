"""A contender in a process of its own: ``python -m benchmarks.worker '{"contender": ...}'``.

Reads commands from standard input, one a line, and answers each with a line of JSON. `step` runs a
training step and reports how long it took; `quit`, or the end of the input, ends the process.
Between commands it waits and uses nothing but its memory.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contenders import step
from benchmarks.modes import OURS, set_our_threads, the_torch
from benchmarks.plans import Net, Whole
from benchmarks.timing import measure

__all__ = ["peak_bytes"]


def peak_bytes() -> int:
    """Return the most memory that this process has had.

    Not `resource.getrusage`: a new process there starts with the peak of the one that started it.
    """
    try:
        with open("/proc/self/status") as file:
            line = next(line for line in file if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def main(specification: str) -> None:
    """Build the contender, take one step, and then one for each line of standard input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed must not be taken for an answer

    def answer(**fields: Any) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    try:
        wanted = json.loads(specification)
        run, parameters = _contender(**wanted)
        found = [run()]
        answer(parameters=parameters, loss=_number(found[0]), peak=peak_bytes())
        for command in sys.stdin:
            if command.strip() == "quit":
                return
            found.clear()
            sample = measure(lambda: found.append(run()))
            answer(**vars(sample), loss=_number(found[0]), peak=peak_bytes())
    except MemoryError as error:
        answer(error=f"out of memory: {error}")
    except Exception as error:
        answer(error=f"{type(error).__name__}: {error}")
        raise


def _contender(contender: str, threads: int, net: dict[str, Any]) -> tuple[Callable[[], Any], int]:
    if contender in (*OURS, "plan"):  # whose process has no PyTorch in its memory
        set_our_threads(threads)
    elif contender != "onnxruntime":
        the_torch().set_num_threads(threads)
    if "model" not in net:
        return step(contender, Net(**net))
    from benchmarks.networks import task

    return task(contender, Whole(**net), threads)


def _number(found: Any) -> float:
    """Return a loss, or a number that shows whether scores are those of another contender."""
    return found if isinstance(found, float) else float(np.abs(found).mean(dtype=np.float64))


if __name__ == "__main__":
    main(sys.argv[1])
