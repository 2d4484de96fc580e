"""False alarms of the testing kit: ``python -m benchmarks.false_alarms [--examples N]``.

Every operation of the kit is checked on right implementations (`benchmarks.right_functions`), as
`check_op` checks it, with drawn cases of ever new seeds, in float64 and in float32, until about N
examples were tried in all; then their gradients by `check_gradients` at batch norm's own eps. What
is reported as wrong is a false alarm: its message is printed and stored. Exit code 1 if there are.
An operation that an implementation has not is left out; one that none has is named.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe, versions
from benchmarks.right_functions import IMPLEMENTATIONS, Implementation
from minideconv.errors import UsageError
from minideconv.files.atomic import replace_file
from minideconv.settings.command_line import HelpFormatter, positive, run_program
from minideconv.testing import check_gradients
from minideconv.testing.checking.check import checkers
from minideconv.testing.checking.run import Checker
from minideconv.testing.operations import OPERATIONS

FLOAT32 = ("float32", "numbers of any size")
"""The checks of a function whose cases are float32."""


class Counts:
    """What was tried of each implementation and operation, and the messages of false alarms."""

    def __init__(self) -> None:
        self.examples: Counter[tuple[str, str, str]] = Counter()
        self.alarms: list[dict[str, str]] = []

    def add(self, name: str, checker: Checker) -> None:
        """Run the checks once and count their cases."""
        operation = checker.operation.name
        for outcome in checker.run():
            dtype = "float32" if outcome.name.split("/")[1] in FLOAT32 else "float64"
            self.examples[name, operation, dtype] += outcome.tried
            if outcome.failure is not None:
                self.alarm(name, outcome.name, outcome.failure.text())

    def alarm(self, name: str, check: str, message: str) -> None:
        """Store a message, and print it."""
        self.alarms.append({"implementation": name, "check": check, "message": message})
        print(f"FALSE ALARM, {name}, {check}:\n{message}\n", flush=True)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each implementation and operation."""
        names = dict.fromkeys((name, operation) for name, operation, _ in self.examples)
        alarms = Counter((a["implementation"], a["check"].split("/")[0]) for a in self.alarms)
        return [
            {
                "implementation": name,
                "operation": operation,
                "float64": self.examples[name, operation, "float64"],
                "float32": self.examples[name, operation, "float32"],
                "alarms": alarms[name, operation],
            }
            for name, operation in names
        ]


def checks_of(made: Implementation, operation: str, seed: int) -> Checker:
    """Return the checks of one operation of an implementation."""
    wanted = {operation.removesuffix("_backward"), operation}
    functions = {name: made.functions[name] for name in OPERATIONS if name in wanted}
    found = checkers(functions, arrays=made.arrays, limits=made.limits.get(operation), seed=seed)
    return next(checker for checker in found if checker.operation.name == operation)


def gradients_hold(made: Implementation, name: str, seed: int) -> AssertionError | None:
    """Return what `check_gradients` says of a drawn case in float64."""
    forward, checker = (checks_of(made, n, seed) for n in (name, f"{name}_backward"))
    rng = np.random.default_rng(seed)
    geometry = checker.operation.draw(lambda low, high: int(rng.integers(low, high + 1)))
    case = checker.operation.case(geometry, seed, "normal")
    arrays, settings = checker.operation.call_arguments(case)
    inputs = [r.removeprefix("d") for r in checker.operation.outputs if r != "db"]

    def function(*now: Any) -> Any:
        given = {"b": None, **arrays, **dict(zip(inputs, now, strict=True))}
        order = {role: given[role] for role in forward.operation.arguments}
        return forward.call(order, settings).outputs["y"]

    def gradients(dy: Any) -> Any:
        found = checker.call({**arrays, "dy": dy}, settings).outputs
        return [found[f"d{role}"] for role in inputs]

    try:
        check_gradients(function, [arrays[r] for r in inputs], gradients, seed=seed)
    except AssertionError as error:
        return error
    return None


def run(wanted: int, names: Sequence[str], seed: int) -> tuple[Counts, list[str]]:
    """Check every implementation until `wanted` examples were tried; return what was left out."""
    counts, left_out = Counts(), []
    made: dict[str, Implementation] = {}
    for name in names:
        try:
            made[name] = IMPLEMENTATIONS[name]()
        except ImportError as error:
            left_out.append(f"{name} ({error})")
    pairs = [(n, o) for n in made for o in OPERATIONS if o in made[n].functions]
    left_out += [o for o in OPERATIONS if o not in {o for _, o in pairs}]
    share = wanted / len(pairs)
    gradients = max(1, round(wanted / 150 / len(made)))
    for name, operation in pairs:
        turn = 0
        while sum(counts.examples[name, operation, d] for d in ("float64", "float32")) < share:
            counts.add(name, checks_of(made[name], operation, seed + turn))
            turn += 1
    for name, implementation in made.items():
        for operation in ("conv2d", "batch_norm"):
            check = f"{operation}_backward, check_gradients"
            there = {operation, f"{operation}_backward"} <= implementation.functions.keys()
            for turn in range(gradients if there else 0):
                error = gradients_hold(implementation, operation, seed + turn)
                counts.examples[name, check, "float64"] += 1
                if error is not None:
                    counts.alarm(name, f"{check}/{seed + turn}", str(error))
    return counts, left_out


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    lines = ["| implementation | operation | float64 | float32 | false alarms |",
             "|---|---|---:|---:|---:|"]  # fmt: skip
    for row in [*rows, total(rows)]:
        lines.append(
            f"| {row['implementation']} | {row['operation']} | {row['float64']:,} "
            f"| {row['float32']:,} | {row['alarms']} |"
        )
    return "\n".join(lines)


def total(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of all."""
    sums = {key: sum(row[key] for row in rows) for key in ("float64", "float32", "alarms")}
    return {"implementation": "all", "operation": "", **sums}


def _others() -> dict[str, str]:
    """Return the versions of what only this program uses."""
    there = {d.name for d in importlib.metadata.distributions()}
    return {n: importlib.metadata.version(n) for n in ("jax", "scipy") if n in there}


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.false_alarms",
        description="check right implementations, count what is called wrong",
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--examples", type=positive, default=100_000, metavar="N", help="in all")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="implementations")
    parser.add_argument("--seed", type=int, default=0, help="of the first cases")
    parser.add_argument("--out", type=Path, metavar="FILE", help="store the counts as JSON")
    options = parser.parse_args(arguments)
    names = options.only or list(IMPLEMENTATIONS)
    unknown = [name for name in names if name not in IMPLEMENTATIONS]
    if unknown:
        raise UsageError(f"--only {unknown[0]!r}: use {', '.join(map(repr, IMPLEMENTATIONS))}")
    start, processor = time.time(), time.process_time()
    counts, left_out = run(options.examples, names, options.seed)
    rows = counts.rows()
    print(table(rows))
    if left_out:
        print(f"\nNot checked: {', '.join(left_out)}")
    seconds = time.time() - start
    print(f"\n{seconds:.0f} s, {time.process_time() - processor:.0f} s of processor time")
    if options.out is not None:
        result = {
            "date": str(datetime.date.today()),
            "machine": describe(),
            "versions": versions() | _others(),
            "seed": options.seed,
            "seconds": round(seconds),
            "not_checked": left_out,
            "rows": rows,
            "alarms": counts.alarms,
        }
        replace_file(options.out, (json.dumps(result, indent=1) + "\n").encode())
    return 1 if counts.alarms else 0


if __name__ == "__main__":
    sys.exit(run_program("benchmarks.false_alarms", main))
