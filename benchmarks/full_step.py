"""One training step of the paper's network: ``python -m benchmarks.full_step [--batch 2]``.

Forward, backward and update (SGD with momentum) of the 251,805,653-parameter DeconvNet on 224 x 224
images. Prints seconds and the process's peak memory as JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import replace
from typing import Any

from benchmarks.contenders import step
from benchmarks.modes import available
from benchmarks.plans import PAPER
from benchmarks.timing import measure
from benchmarks.worker import peak_bytes
from minideconv.backend import parallel


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
    arguments = parser.parse_args()
    print(json.dumps(full_step(arguments.batch, arguments.steps, arguments.threads), indent=1))
