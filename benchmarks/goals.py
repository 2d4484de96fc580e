"""The project's goals for speed, and whether stored results meet them.

Each goal is a ratio, minideconv's time over PyTorch's, that must not be exceeded. Where it is about
several layers or shapes, the worst of them decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmarks.geometries import GEOMETRIES, POOLED, POOLING_GOAL
from benchmarks.store import Results, rows_of, threads_of

__all__ = ["GOALS", "LAYOUTS", "Goal", "Ratio", "Verdict", "evaluate", "ratio"]

LAYOUTS = ("nchw", "channels_last")
DEFAULT = ("default_nchw",)
DEFAULT_NETWORK = "default network"
TUNED = ("tuned_nchw", "tuned_channels_last")


class Ratio(NamedTuple):
    """Our time over theirs, and whether both numbers are trusted (see `timing.summary`)."""

    value: float
    trusted: bool


Ratios = dict[str, Ratio]


@dataclass(frozen=True)
class Goal:
    """What is wanted: at most `goal`, better `beyond`, for all ratios that `measure` finds."""

    name: str
    goal: float
    beyond: float | None
    measure: Callable[[Results, int], Ratios]
    section: str


@dataclass(frozen=True)
class Verdict:
    """What became of a goal with a number of threads."""

    goal: Goal
    threads: int
    ratios: Ratios

    @property
    def measured(self) -> float | None:
        """The worst ratio; None if there is none."""
        return max((ratio.value for ratio in self.ratios.values()), default=None)

    @property
    def worst(self) -> str:
        """Which layer or shape has it."""
        return max(self.ratios, key=lambda name: self.ratios[name].value, default="")

    @property
    def verdict(self) -> str:
        """In words: "beyond", "met", "missed", "missed (2 of 5 meet it)".

        "not measured" without numbers, "disturbed" where others used the machine.
        """
        worst, count = self.measured, len(self.ratios)
        if worst is None:
            return "not measured"
        if not all(ratio.trusted for ratio in self.ratios.values()):
            return "disturbed"
        if self.goal.beyond is not None and worst <= self.goal.beyond:
            return "beyond"
        if worst <= self.goal.goal:
            return "met"
        fine = sum(ratio.value <= self.goal.goal for ratio in self.ratios.values())
        return f"missed ({fine} of {count} meet it)" if count > 1 else "missed"


def ratio(times: dict[str, Any], ours: str, theirs: tuple[str, ...]) -> Ratio | None:
    """Return our time over the best of theirs, or None if either was not measured."""
    rivals = [times[name] for name in theirs if name in times]
    if ours not in times or not rivals:
        return None
    trusted = all(time["trusted"] for time in (times[ours], *rivals))
    return Ratio(times[ours]["ms"] / min(time["ms"] for time in rivals), trusted)


def evaluate(results: Results) -> list[Verdict]:
    """Return a verdict for every goal and every number of threads that was measured."""
    return [
        Verdict(goal, threads, goal.measure(results, threads))
        for goal in GOALS
        for threads in threads_of(results) or [1]
    ]


# ---------------------------------------------------------------------------------------------
# What each goal is about


def _step(
    name: str, batch: int, ours: str, theirs: tuple[str, ...]
) -> Callable[[Results, int], Ratios]:
    def measure(results: Results, threads: int) -> Ratios:
        rows = rows_of(results, "steps", threads)
        found = {
            f"batch {row['batch']}": ratio(row["times"], ours, theirs)
            for row in rows
            if (row["name"], row["batch"]) == (name, batch)
        }
        return _present(found)

    return measure


def _peak(results: Results, threads: int) -> Ratios:
    found = {}
    for row in rows_of(results, "steps", threads):
        peaks = row.get("peak_gib", {})
        if (row["name"], row["batch"]) == ("DeconvNet", 2) and {"fast", *DEFAULT} <= peaks.keys():
            found["peak"] = Ratio(peaks["fast"] / peaks[DEFAULT[0]], trusted=True)
    return _present(found)


def _conv(which: str, wanted: Callable[[dict[str, Any]], bool]) -> Callable[[Results, int], Ratios]:
    def measure(results: Results, threads: int) -> Ratios:
        rows = rows_of(results, "conv", threads)
        found = {
            row["name"]: ratio(row["times"], "fast", LAYOUTS)
            for row in rows
            if row["pass"] == which and row["group"].startswith("DeconvNet") and wanted(row)
        }
        return _present(found)

    return measure


def _memory(name: str) -> Callable[[Results, int], Ratios]:
    def measure(results: Results, threads: int) -> Ratios:
        rows = rows_of(results, "memory", threads)
        found = {
            row["shape"]: ratio(row["times"], "fast", LAYOUTS)
            for row in rows
            if row["name"] == name and row["shape"].startswith("2x")  # DeconvNet's own shapes
        }
        return _present(found)

    return measure


def _optimizer(name: str) -> Callable[[Results, int], Ratios]:
    def measure(results: Results, threads: int) -> Ratios:
        rows = rows_of(results, "optim", threads)
        found = {
            row["what"]: ratio(row["times"], "fast", ("torch_fused",))
            for row in rows
            if row["name"] == name and row["what"] == "large arrays"
        }
        return _present(found)

    return measure


def _strided(name: str) -> Callable[[Results, int], Ratios]:
    def measure(results: Results, threads: int) -> Ratios:
        found = {
            row["pass"]: ratio(row["times"], "fast", LAYOUTS)
            for row in rows_of(results, "strided", threads)
            if row["name"] == name
        }
        return _present(found)

    return measure


def _network(what: str, *theirs: str) -> Callable[[Results, int], Ratios]:
    """The default network; ours is the recorded plan where there is one."""

    def measure(results: Results, threads: int) -> Ratios:
        found = {
            row["pass"]: ratio(row["times"], "plan" if "plan" in row["times"] else "fast", theirs)
            for row in rows_of(results, "networks", threads)
            if row["name"] == DEFAULT_NETWORK and row["pass"].startswith(what)
        }
        return _present(found)

    return measure


def _present(found: dict[str, Ratio | None]) -> Ratios:
    return {key: value for key, value in found.items() if value is not None}


def _wide(row: dict[str, Any]) -> bool:
    return bool(row["kernel"] == 3 and row["channels"] >= 256 and row["map"] >= 28)


def _at_224(row: dict[str, Any]) -> bool:
    return bool(row["kernel"] == 3 and row["channels"] == 64 and row["map"] == 224)


GOALS: tuple[Goal, ...] = (
    *(
        Goal(
            f"DeconvNet's step, batch {batch}, {how} / PyTorch {kind}",
            goal,
            beyond,
            _step("DeconvNet", batch, ours, theirs),
            "steps",
        )
        for ours, how, limits in (
            ("fast", "compiled", ((0.28, 0.22), (0.62, 0.52))),
            ("numpy", "NumPy only", ((0.58, 0.50), (1.20, 1.05))),
        )
        for (goal, beyond), theirs, kind in zip(
            limits, (DEFAULT, TUNED), ("default", "tuned"), strict=True
        )
        for batch in (2, 8)
    ),
    Goal(
        "default network's step, compiled / PyTorch default",
        0.95,
        0.8,
        _step(DEFAULT_NETWORK, 8, "fast", DEFAULT),
        "steps",
    ),
    Goal(
        "default network's step, compiled / PyTorch tuned channels_last",
        1.25,
        1.0,
        _step(DEFAULT_NETWORK, 8, "fast", TUNED[1:]),
        "steps",
    ),
    *(
        Goal(f"3x3, >= 256 channels, map >= 28: {which}", 0.55, 0.45, _conv(which, _wide), "conv")
        for which in ("forward", "input gradient", "weight gradient")
    ),
    *(
        Goal(f"3x3, 64 channels at 224: {which}", 0.75, 0.6, _conv(which, _at_224), "conv")
        for which in ("forward", "input gradient", "weight gradient")
    ),
    Goal("BN + ReLU forward", 0.4, None, _memory("BN + ReLU forward"), "memory"),
    Goal("BN + ReLU backward", 0.8, None, _memory("BN + ReLU backward"), "memory"),
    Goal("pool", 0.5, None, _memory("pool"), "memory"),
    Goal("unpool", 0.4, None, _memory("unpool"), "memory"),
    Goal("unpool backward", 0.5, None, _memory("unpool backward"), "memory"),
    Goal("SGD / PyTorch fused", 1.0, None, _optimizer("SGD"), "optim"),
    Goal("Adam / PyTorch fused", 1.0, None, _optimizer("Adam"), "optim"),
    Goal("peak memory of DeconvNet's step, batch 2 / PyTorch default", 1.0, 0.8, _peak, "steps"),
    *(
        Goal(f"{name} / PyTorch's better layout", goal, None, _strided(name), "strided")
        for name, goal in (
            *((geometry.name, geometry.goal) for geometry in GEOMETRIES),
            (POOLED, POOLING_GOAL),
        )
    ),
    Goal(
        "default network, one image / ONNX Runtime",
        1.0,
        None,
        _network("inference", "onnxruntime"),
        "networks",
    ),
    Goal(
        "default network, one image / torch.compile",
        0.8,
        None,
        _network("inference", "compile"),
        "networks",
    ),
    Goal(
        "default network's step, all threads / one",
        0.65,
        None,
        _network("training step", "fast_one"),
        "networks",
    ),
)
