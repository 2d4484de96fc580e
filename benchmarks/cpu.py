"""The run: section after section, a table on the way, and the file kept up to date."""

from __future__ import annotations

import datetime
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import (
    convolutions,
    growth,
    machine,
    memory_bound,
    networks,
    optimizers,
    steps,
    store,
    strided,
    systems,
    tables,
    tape,
)
from benchmarks.modes import set_threads
from benchmarks.plans import Plan
from minideconv.errors import UsageError

__all__ = ["ONCE", "SECTIONS", "run"]

ROOT = Path(__file__).resolve().parents[1]
Rows = Iterator[dict[str, Any]]

# In this order: the large steps come while this process is still small.
SECTIONS: dict[str, Callable[[Plan, int], Rows]] = {
    "floors": machine.rows,
    "steps": steps.rows,
    "networks": networks.rows,
    "growth": growth.rows,
    "conv": convolutions.rows,
    "strided": strided.rows,
    "memory": memory_bound.rows,
    "optim": optimizers.rows,
    "tape": tape.rows,
    "systems": systems.rows,
}
ONCE = ("growth", "tape")  # with the smallest number of threads only
ONE_THREAD = ("systems",)  # what it compares with has one


def run(
    plan: Plan, threads: Sequence[int], sections: Sequence[str], out: Path, quick: bool
) -> None:
    """Measure and store sections, each as soon as it is done.

    Raises
    ------
    UsageError
        If `out` holds another machine's results, or quick ones and these are not, or vice versa.
    """
    results = store.load(out) if out.exists() else store.new(machine.describe())
    _check_same(results, out, quick)
    plan = replace(plan, most_threads=max(threads))
    for section in (name for name in SECTIONS if name in sections):
        for count in sorted(threads):
            if section in ONCE and count != min(threads):
                continue
            if section in ONE_THREAD and count != 1:
                continue
            store.merge(results, _measure(section, plan, count, quick, results))
            store.save(out, results)
            out.with_suffix(".md").write_text(tables.render(results), encoding="utf-8")
    print(f"\nwritten: {out} and {out.with_suffix('.md').name}")


def _check_same(results: store.Results, out: Path, quick: bool) -> None:
    if results["machine"] != machine.describe():
        raise UsageError(f"{out} holds the results of another machine; choose another --out")
    if any(record["quick"] != quick for record in results["records"]):
        raise UsageError(f"{out} mixes quick and full results if these join; choose another --out")


def _measure(
    section: str, plan: Plan, threads: int, quick: bool, results: store.Results
) -> dict[str, Any]:
    """Measure one section, printing each row as it comes."""
    set_threads(threads)
    rates = store.floors(results, threads)
    title = tables.SECTIONS[section]
    print(f"\n## {title}, {threads} thread{'s' if threads > 1 else ''} [{section}]")
    print(tables.console(section, None, rates), flush=True)
    start, rows, group = time.perf_counter(), [], ""
    for row in SECTIONS[section](plan, threads):
        if row.get("group", "") != group:
            group = row["group"]
            print(f"-- {group}")
        print(tables.console(section, row, rates), flush=True)
        rows.append(row)
    return {
        "section": section,
        "threads": threads,
        "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        "seconds": round(time.perf_counter() - start, 1),
        "rounds": plan.rounds,
        "quick": quick,
        "commit": _commit(),
        "versions": machine.versions(),
        "rows": rows,
    }


def _commit() -> str:
    """Return which commit was measured, with a plus if the package has been changed since."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=9"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def print_goals(out: Path) -> None:
    """Print the goals as far as the file can judge them."""
    from benchmarks.goals import evaluate

    for v in evaluate(store.load(out)):
        if v.measured is not None:
            limit = f"<= {v.goal.goal:.2f}"
            sys.stdout.write(
                f"{v.goal.name:<66} {v.threads}T {v.measured:6.2f} {limit:>8}  {v.verdict}\n"
            )
