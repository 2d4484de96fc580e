"""Section `steps`: whole training steps, ours in three modes and PyTorch's in four."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.children import race
from benchmarks.contenders import STEPS, step
from benchmarks.modes import OURS, available, switch
from benchmarks.plans import Net, Plan
from benchmarks.timing import Sample, Timed, alternate, summary

__all__ = ["in_this_process", "rows"]


def rows(plan: Plan, threads: int) -> Iterator[dict[str, Any]]:
    """Measure the small networks in this process, the large ones in processes of their own."""
    for net in plan.small_steps:
        samples, parameters = in_this_process(available(STEPS), net, plan.rounds, threads)
        yield _row(net, samples, parameters, threads)
    for big in plan.big_steps:
        if big.every_thread_number or threads == plan.most_threads:
            names = available(big.contenders)
            samples, peaks, parameters = race(names, big.net, threads, plan.rounds)
            peak = {name: round(bytes_ / 2**30, 3) for name, bytes_ in peaks.items()}
            yield _row(big.net, samples, parameters, threads) | {"peak_gib": peak}


def in_this_process(
    names: list[str], net: Net, rounds: int, threads: int
) -> tuple[dict[str, list[Sample]], int]:
    """Let the contenders for a small network take turns here."""
    contenders = {}
    for name in names:
        run, parameters = step(name, net)
        prepare = (lambda name=name: switch(name)) if name in OURS else (lambda: None)
        contenders[name] = Timed(run, prepare, least=0.1)
    return alternate(contenders, rounds, threads), parameters


def _row(
    net: Net, samples: dict[str, list[Sample]], parameters: int, threads: int
) -> dict[str, Any]:
    return {
        "name": net.name,
        "batch": net.batch,
        "input_size": net.input_size,
        "width": net.width,
        "parameters": parameters,
        "times": {name: summary(got, threads) for name, got in samples.items()},
    }
