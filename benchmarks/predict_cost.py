"""What a prediction costs: ``python -m benchmarks.predict_cost PHOTOGRAPHS -- RUN [options]``

Runs ``minideconv.predict RUN [options]`` on one of the photographs in a folder and on several, each
as a process of its own: the difference of the two times, for each photograph more, is the time of
a photograph; the time of one less that is what starting takes; the peak memory is the larger
process's. Several turns, of which the medians count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import machine
from minideconv.errors import UsageError
from minideconv.settings import command_line

__all__ = ["main", "measure"]


def measure(options: Sequence[str], photographs: Sequence[Path], turns: int) -> dict[str, Any]:
    """Return seconds and MiB of a prediction of all photographs, less that of the first.

    Raises
    ------
    UsageError
        If there are fewer than two photographs, or the prediction fails.
    """
    if len(photographs) < 2:
        raise UsageError(f"{len(photographs)} photographs; two at least are needed")
    one, many, peak = [], [], 0.0
    for _ in range(turns):
        seconds, first = _predict(options, photographs[:1])
        one.append(seconds)
        seconds, second = _predict(options, photographs)
        many.append(seconds)
        peak = max(peak, first, second)
    start, end = statistics.median(one), statistics.median(many)
    each = (end - start) / (len(photographs) - 1)
    return {
        "photographs": len(photographs),
        "turns": turns,
        "seconds_each": each,
        "seconds_start": start - each,
        "peak_mib": peak,
    }


def _predict(options: Sequence[str], photographs: Sequence[Path]) -> tuple[float, float]:
    """Run one prediction; return its seconds and the MiB that it held at most."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "minideconv.predict", *options, "--quiet"]
        command += ["--output-dir", folder, *map(str, photographs)]
        start = time.perf_counter()
        process = subprocess.Popen(command)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)  # it is waited for already
    if process.returncode:
        raise UsageError(f"minideconv.predict ended with exit code {process.returncode}")
    scale = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss is in bytes there
    return seconds, used.ru_maxrss / scale


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.predict_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="PHOTOGRAPHS", type=Path, help="folder of .jpg files")
    parser.add_argument("options", metavar="OPTIONS", nargs="+", help="of minideconv.predict")
    parser.add_argument("--count", metavar="N", type=command_line.positive, default=10,
                        help="the first N photographs [10]")  # fmt: skip
    parser.add_argument("--turns", metavar="N", type=command_line.positive, default=3,
                        help="how often [3]")  # fmt: skip
    parser.add_argument("--out", metavar="FILE", type=Path, help="also write a JSON file")
    given = parser.parse_args(arguments)
    photographs = sorted(given.folder.glob("*.jpg"))[: given.count]
    found = measure(given.options, photographs, given.turns)
    found |= {"date": date.today().isoformat(), "machine": machine.describe()}
    print(
        f"{found['seconds_each']:.2f} s for a photograph, {found['seconds_start']:.1f} s to start,"
        f" {found['peak_mib']:.0f} MiB at most"
    )
    if given.out is not None:
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(command_line.run_program("benchmarks.predict_cost", main, sys.argv[1:]))
