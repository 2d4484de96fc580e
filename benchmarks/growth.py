"""Section `growth`: how a small network's step grows with image, batch and width; and start-up.

The step of the default network, one of its three sizes changed at a time. Then what importing costs
in a fresh interpreter, and the memory of a step in a process of its own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.children import ROOT, Child
from benchmarks.modes import available
from benchmarks.plans import DEFAULT, Plan
from benchmarks.steps import in_this_process
from benchmarks.timing import summary

__all__ = ["CONTENDERS", "import_seconds", "rows"]

CONTENDERS = ("fast", "numpy", "default_nchw", "tuned_channels_last")
IMPORT = """
import time
{before}
start = time.perf_counter()
import {module}
print(time.perf_counter() - start)
"""


def rows(plan: Plan, threads: int) -> Iterator[dict[str, Any]]:
    """Measure step times, peak memory and import times."""
    names = available(CONTENDERS)
    for variable, values in plan.growth.items():
        for value in values:
            net = replace(DEFAULT, **{variable: value})
            samples, parameters = in_this_process(names, net, plan.rounds, threads)
            yield {
                "variable": variable,
                "value": value,
                "parameters": parameters,
                "times": {name: summary(got, threads) for name, got in samples.items()},
            }
    for value in plan.growth["batch"]:
        net = replace(DEFAULT, batch=value)
        yield {
            "variable": "memory",
            "value": value,
            "peak_gib": {name: _peak_gib(name, net, threads) for name in names},
        }
    yield {
        "variable": "import",
        "milliseconds": {
            "numpy": _import_ms(plan, "numpy"),
            "minideconv, after numpy": _import_ms(plan, "minideconv", "import numpy"),
            "torch, after numpy": _import_ms(plan, "torch", "import numpy"),
        },
    }


def _peak_gib(name: str, net: Any, threads: int) -> float:
    child = Child(name, net, threads)
    try:
        child()
        return round(child.peak / 2**30, 4)
    finally:
        child.stop()


def _import_ms(plan: Plan, module: str, before: str = "") -> float:
    return round(1e3 * import_seconds(module, before, plan.imports), 1)


def import_seconds(module: str, before: str = "", runs: int = 9) -> float:
    """Return the median time that ``import module`` takes in a fresh interpreter."""
    code = IMPORT.format(module=module, before=before)
    return statistics.median(
        float(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT)) for _ in range(runs)
    )
