"""A contender in a process of its own: ``python -m benchmarks.worker '{"contender": ...}'``.

Reads commands from standard input, one a line, and answers each with a line of JSON. `step` runs a
training step and reports how long it took; `quit`, or the end of the input, ends the process.
Between commands it waits and uses nothing but its memory.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from benchmarks.contenders import step
from benchmarks.modes import OURS, set_our_threads, the_torch
from benchmarks.plans import Net
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
        if wanted["contender"] in OURS:  # whose process has no PyTorch in its memory
            set_our_threads(wanted["threads"])
        else:
            the_torch().set_num_threads(wanted["threads"])
        run, parameters = step(wanted["contender"], Net(**wanted["net"]))
        losses = [run()]
        answer(parameters=parameters, loss=losses[0], peak=peak_bytes())
        for command in sys.stdin:
            if command.strip() == "quit":
                return
            sample = measure(lambda: losses.append(run()))
            answer(**vars(sample), loss=losses[-1], peak=peak_bytes())
    except MemoryError as error:
        answer(error=f"out of memory: {error}")
    except Exception as error:
        answer(error=f"{type(error).__name__}: {error}")
        raise


if __name__ == "__main__":
    main(sys.argv[1])
