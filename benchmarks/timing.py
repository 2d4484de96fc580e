"""Fair timings on a machine that others use too.

Three rules. Contenders take turns, A B A B, so that a slow minute hits them all. What is kept is
the median of several turns, without the first call, which compiles, allocates and fills caches. And
each sample holds how much of the machine others used meanwhile: Linux counts every thread's time on
a core. A sample in which all other processes together had less than 4 % of the cores is *quiet*.

The clock follows from the number of threads. One thread: the processor time of this process, which
others hardly change. More: the wall time of the quiet samples, because processor time does not see
that threads wait for each other.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Sample", "Timed", "alternate", "clock", "cores", "measure", "summary"]

QUIET = 0.04  # of the wall time
ENOUGH_QUIET = 5  # samples of each contender, where wall time counts
TRUSTED = 3  # with fewer, the number is kept but marked
REST = 0.02  # seconds between contenders: worker threads that spin for new work fall asleep


@dataclass(frozen=True)
class Sample:
    """One turn: seconds per call, and the share of the cores that others had (NaN: unknown)."""

    wall: float
    cpu: float
    others: float

    @property
    def quiet(self) -> bool:
        """Whether others left the cores alone; yes where that is not known."""
        return not self.others > QUIET


def clock(threads: int) -> str:
    """Return which clock counts with so many threads: "cpu" or "wall"."""
    return "cpu" if threads == 1 else "wall"


def cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)


def _others_on_cores() -> float:
    """Return for how many seconds the threads of all other processes have been on a core."""
    total, seen, me = 0, 0, str(os.getpid())
    for process in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if not process.isdigit() or process == me:
            continue
        try:
            for thread in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{thread}/schedstat") as file:
                    total += int(file.read().split()[0])
                seen += 1
        except (OSError, IndexError):
            continue  # it has just ended
    return total * 1e-9 if seen else math.nan


def measure(function: Callable[[], Any], repeats: int = 1) -> Sample:
    """Call `function` `repeats` times and return what one call took."""
    others, cpu, wall = _others_on_cores(), time.process_time(), time.perf_counter()
    for _ in range(repeats):
        function()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    share = max(0.0, _others_on_cores() - others) / (wall * cores())
    return Sample(wall / repeats, cpu / repeats, share)


class Timed:
    """A contender in this process: calling it gives a `Sample`.

    Parameters
    ----------
    function : callable
        What is timed. It is called twice here, untimed.
    prepare : callable, optional
        Called before each turn, outside of the clock: switches the library to the right algorithm.
    least : float
        Seconds that a turn lasts at least: short calls are repeated.
    """

    def __init__(
        self,
        function: Callable[[], Any],
        prepare: Callable[[], Any] = lambda: None,
        least: float = 0.01,
    ) -> None:
        self.function, self.prepare = function, prepare
        prepare()
        self.first = function()
        seconds = measure(function).wall
        self.short = seconds < 0.02
        self.repeats = max(1, min(1000, round(least / max(seconds, 1e-7))))

    def __call__(self) -> Sample:
        """Take one turn; short calls get one more, untimed, to have their caches back."""
        self.prepare()
        if self.short:
            self.function()
        return measure(self.function, self.repeats)


def alternate(
    contenders: Mapping[str, Callable[[], Sample]],
    rounds: int,
    threads: int,
    rest: float = REST,
) -> dict[str, list[Sample]]:
    """Let the contenders take turns for `rounds` rounds and return each one's samples.

    With more than one thread there are up to half as many rounds again while a contender has fewer
    than five quiet samples.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    most = rounds if threads == 1 else rounds + (rounds + 1) // 2
    wanted = min(rounds, ENOUGH_QUIET)
    for number in range(most):
        short = {n for n, got in samples.items() if sum(s.quiet for s in got) < wanted}
        if number >= rounds and not short:
            break
        for name, turn in contenders.items():
            if number >= rounds and name not in short:
                continue
            if threads > 1:
                time.sleep(rest)
            samples[name].append(turn())
    return samples


def summary(samples: list[Sample], threads: int) -> dict[str, Any]:
    """Return what is kept of a contender: medians in milliseconds, and how many were quiet.

    With more than one thread the median is over the quiet samples; over all if none was. A number
    is trusted if it is processor time, or if at least three samples (all, of fewer) were quiet.
    """
    quiet = [sample for sample in samples if sample.quiet]
    chosen = (quiet or samples) if threads > 1 else samples
    cpu = 1e3 * statistics.median(sample.cpu for sample in chosen)
    wall = 1e3 * statistics.median(sample.wall for sample in chosen)
    kept = cpu if clock(threads) == "cpu" else wall
    return {
        "ms": _rounded(kept),
        "cpu_ms": _rounded(cpu),
        "wall_ms": _rounded(wall),
        "quiet": len(quiet),
        "samples": len(samples),
        "trusted": threads == 1 or len(quiet) >= min(TRUSTED, len(samples)),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
