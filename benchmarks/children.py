"""Contenders in processes of their own, and how many of them fit into memory at once."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.modes import BenchmarkError
from benchmarks.plans import Net, Whole
from benchmarks.timing import Sample, alternate

__all__ = ["Child", "available_bytes", "race"]

ROOT = Path(__file__).resolve().parents[1]
GIB = 2**30


class Child:
    """One contender: calling it makes its process take a step and gives the `Sample`."""

    def __init__(self, contender: str, net: Net | Whole, threads: int) -> None:
        self.what = f"{contender}, {net.name}, batch {net.batch}"
        wanted = {"contender": contender, "net": asdict(net), "threads": threads}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", json.dumps(wanted)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.peak = 0
        try:
            answer = self._answer()
            self.parameters, self.loss = answer["parameters"], answer["loss"]
        except BaseException:
            self.stop()
            raise

    def __call__(self) -> Sample:
        """Take one turn."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it is dead; the missing answer shows it
            print("step", file=self.process.stdin, flush=True)
        answer = self._answer()
        return Sample(answer["wall"], answer["cpu"], answer["others"])

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise BenchmarkError(self._cause_of_end(self.process.wait()))
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchmarkError(f"the process of {self.what} failed: {answer['error']}")
        if not math.isfinite(answer["loss"]):
            raise BenchmarkError(f"{self.what}: the loss is {answer['loss']} after a step")
        self.peak = answer["peak"]
        return answer

    def _cause_of_end(self, status: int) -> str:
        if status == -9:
            return (
                f"the process of {self.what} was killed, most likely because memory ran out"
                f" ({available_bytes() / GIB:.1f} GiB are free now); close other programs, or leave"
                " this section out with --only"
            )
        return f"the process of {self.what} died with status {status}; its messages are above"

    def stop(self) -> None:
        """End the process and give its memory back."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # a last word that a dead process did not read
                    pipe.close()


def available_bytes() -> float:
    """Return how much memory a new process could have; infinity where that is not known."""
    try:
        with open("/proc/meminfo") as file:
            line = next(line for line in file if line.startswith("MemAvailable"))
        return int(line.split()[1]) * 1024.0
    except (OSError, StopIteration):
        return math.inf


def race(
    contenders: list[str],
    net: Net | Whole,
    threads: int,
    rounds: int,
    agree: float | None = None,
) -> tuple[dict[str, list[Sample]], dict[str, int], int]:
    """Let processes take turns; return each one's samples and peak bytes, and the parameters.

    As many as memory holds live at once. The first contender stays through all such groups, so that
    its own times in each show whether the machine stayed the same. Where the first losses have to
    `agree`, one that is further from the first contender's raises BenchmarkError.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    peaks: dict[str, int] = {}
    first, *waiting = contenders
    children = {first: Child(first, net, threads)}
    parameters = children[first].parameters
    try:
        while waiting or not samples[first]:
            while waiting and (len(children) == 1 or _room_for_one_more(children)):
                name = waiting.pop(0)
                children[name] = Child(name, net, threads)
                if agree is not None:
                    _check_agree(children[first], children[name], agree)
            for name, got in alternate(children, rounds, threads).items():
                samples[name] += got
                peaks[name] = children[name].peak
            for name in [name for name in children if name != first]:
                children.pop(name).stop()
    finally:
        for child in children.values():
            child.stop()
    return samples, peaks, parameters


def _check_agree(first: Child, other: Child, agree: float) -> None:
    apart = abs(other.loss - first.loss) / abs(first.loss)
    if not apart <= agree:
        raise BenchmarkError(f"{other.what}: its first result is {apart:.1e} from the others'")


def _room_for_one_more(children: dict[str, Child]) -> bool:
    """Whether the largest so far would fit again, with 1 GiB and a quarter of it to spare."""
    largest = max(child.peak for child in children.values())
    return available_bytes() > 1.25 * largest + GIB
