"""Two versions of minideconv against each other: ``python -m benchmarks.regressions FOLDER``.

    git worktree add ../before COMMIT
    python -m benchmarks.regressions ../before [--only steps tape ...] [--out FILE.json]
    python -m benchmarks.regressions ../before --again FILE.json --out FILE.json
    python -m benchmarks.regressions --table FILE.json

The programs that measure are this checkout's; each version of the package runs in a process of its
own, with one thread. The two take turns, and a row says how many times as much processor time the
package here takes as the one in FOLDER: the median over three pairs of processes of the median over
their turns. A row that is then above the limit (1.03) gets twelve more. All fifteen count, with
the interval that holds their true median with 96 % (order statistics, as in a sign test).
Such a row is slower if its median is above the limit and its whole interval above 1. Of a hundred
rows that are as fast as before two look so by chance: ``--again`` measures the slower rows of a
stored run once more, by fifteen new pairs, which alone count then.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.modes import BenchmarkError
from benchmarks.store import load_shown
from minideconv.errors import UsageError
from minideconv.settings.command_line import HelpFormatter, positive, run_program

__all__ = ["LIMIT", "Version", "main", "table"]

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 1.03
PAIRS, MORE = 3, 12
LOW, HIGH = 3, 11  # the fourth least and the fourth greatest of fifteen: outside with 0.035
SECTIONS = ("steps", "conv", "memory", "optim", "tape")


class Version:
    """A version of the package in a process of its own, which runs the rows asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(ROOT / "benchmarks" / "regressions_worker.py"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # One thread: processor time counts, and threads that wait for each other would use it.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )

    def __enter__(self) -> Version:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, **request: Any) -> Any:
        """Send one request and return the answer.

        Raises
        ------
        BenchmarkError
            If the process has died, or says that it cannot.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise BenchmarkError(f"the process of {self.folder} died; its messages are above")
        answer = json.loads(line)
        if "error" in answer:
            raise BenchmarkError(f"{self.folder}, {request.get('row', 'start')}: {answer['error']}")
        return answer["result"]


def pair(versions: Mapping[str, Version], row: str, turns: int) -> dict[str, float]:
    """Let two processes take turns at one row; return median seconds, and the median ratio."""
    for version in versions.values():
        version.ask(do="build", row=row)
    times: dict[str, list[float]] = {name: [] for name in versions}
    for turn in range(turns):
        for name in list(versions)[:: 1 if turn % 2 else -1]:
            times[name].append(versions[name].ask(do="run"))
    ratios = [a / b for a, b in zip(times["here"], times["before"], strict=True)]
    medians = {name: statistics.median(got) for name, got in times.items()}
    return {**medians, "ratio": statistics.median(ratios)}


def measure(folders: Mapping[str, Path], sections: Sequence[str], turns: int) -> list[Any]:
    """Measure every row that both versions have, and return the rows.

    How the memory of a process happens to lie costs or saves it some per cent for as long as it
    lives; so a row is the median over several pairs of processes.
    """
    found: dict[str, list[dict[str, float]]] = {}
    asked: list[str] = []
    for number in range(PAIRS + MORE):
        with ExitStack() as stack:
            versions = {name: stack.enter_context(Version(path)) for name, path in folders.items()}
            if not number:
                both = set(versions["before"].ask(do="list"))
                asked = [
                    row
                    for row in versions["here"].ask(do="list")
                    if row in both and row.split(":")[0] in sections
                ]
                found = {row: [] for row in asked}
            elif number == PAIRS:
                # Decided once: a row that were left as soon as it falls below would always fall.
                asked = [row for row in asked if joined(row, found[row])["ratio"] > LIMIT]
            _add_pairs(versions, {row: found[row] for row in asked}, turns, number)
    return [joined(row, got) for row, got in found.items()]


def _add_pairs(
    versions: Mapping[str, Version],
    found: Mapping[str, list[dict[str, float]]],
    turns: int,
    number: int,
) -> None:
    """Let two processes take turns at some rows, and say what came out."""
    for row, got in found.items():
        got.append(pair(versions, row, turns))
        print(f"{number + 1}  {row}: {got[-1]['ratio']:.3f}", flush=True)


def once_more(folders: Mapping[str, Path], rows: Sequence[Any], turns: int) -> list[Any]:
    """Return the rows, those that are slower measured anew; ``first`` is what they were."""
    found: dict[str, list[dict[str, float]]] = {row["row"]: [] for row in rows if slower(row)}
    for number in range(PAIRS + MORE if found else 0):
        with ExitStack() as stack:
            versions = {name: stack.enter_context(Version(path)) for name, path in folders.items()}
            _add_pairs(versions, found, turns, number)
    return [
        {**joined(row["row"], found[row["row"]]), "first": [row["ratio"], *row["interval"]]}
        if row["row"] in found
        else row
        for row in rows
    ]


def joined(row: str, got: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return a row of the table from what pairs of processes gave."""
    here, before, ratio = (
        statistics.median(each[key] for each in got) for key in ("here", "before", "ratio")
    )
    times = {"before": float(f"{1e3 * before:.4g}"), "here": float(f"{1e3 * here:.4g}")}
    ratios = sorted(each["ratio"] for each in got)
    interval = [round(ratios[at], 4) for at in (LOW, HIGH)] if len(got) == PAIRS + MORE else None
    return {
        "row": row, **times, "ratio": round(ratio, 4), "pairs": len(got), "interval": interval,
    }  # fmt: skip


def slower(row: Mapping[str, Any]) -> bool:
    """Return whether a row is slower beyond what the processes differ by."""
    return row["ratio"] > LIMIT and bool(row["interval"]) and row["interval"][0] > 1


def line(row: Mapping[str, Any]) -> str:
    """Return one line of the table."""
    interval = "{:.3f} to {:.3f}".format(*row["interval"]) if row["interval"] else ""
    if "first" in row:
        interval += "; at first {:.3f}, {:.3f} to {:.3f}".format(*row["first"])
    return (
        f"| {row['row']} | {row['before']:g} | {row['here']:g} | {row['ratio']:.3f} | {interval} |"
    )


HEAD = "| row | before, ms | here, ms | ratio | 96 % interval |\n|---|---|---|---|---|"


def table(found: Mapping[str, Any]) -> str:
    """Return what was stored as Markdown: a sentence, and a line for each row."""
    worse = [row["row"] for row in found["rows"] if slower(row)]
    unsettled = [row["row"] for row in found["rows"] if row["ratio"] > LIMIT and not slower(row)]
    ratios = [row["ratio"] for row in found["rows"]]
    verdict = f"slower: {', '.join(worse)}" if worse else "none slower"
    if unsettled:
        verdict += f"; above {LIMIT} with 1 within the interval: {', '.join(unsettled)}"
    return (
        f"One thread of {found['machine']['cpu'] or 'a machine without a name'}, {found['date']},"
        f" {found['here']} against {found['before']}; {len(ratios)} rows, median"
        f" {statistics.median(ratios):.3f}, {verdict}.\n\n{HEAD}\n"
        + "\n".join(line(row) for row in found["rows"])
        + "\n"
    )


def commit(folder: Path) -> str:
    """Return which commit a folder is at, with a plus if it has been changed since."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=9"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.stdout.strip() or "no commit"


def main(arguments: Sequence[str]) -> int:
    """Run the command line; 1 if a row is slower."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="benchmarks.regressions",
        description=__doc__.split("\n")[0],
        formatter_class=HelpFormatter,
    )
    parser.add_argument("before", type=Path, nargs="?", metavar="FOLDER",
                        help="a checkout of the other version")  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS,
                        metavar="SECTION", help=f"of {', '.join(SECTIONS)} [all]")  # fmt: skip
    parser.add_argument("--turns", type=positive, default=5, metavar="N", help="turns [5]")
    parser.add_argument("--out", type=Path, metavar="FILE", help="store the rows there")
    parser.add_argument("--again", type=Path, metavar="FILE",
                        help="measure the slower rows of a stored run once more")  # fmt: skip
    parser.add_argument("--table", type=Path, metavar="FILE", help="show what was stored")
    options = parser.parse_args(arguments)
    if options.table:
        print(table(load_shown(options.table, table)), end="")
        return 0
    if options.before is None or not (options.before / "minideconv" / "__init__.py").is_file():
        raise UsageError(
            f"FOLDER is {options.before}; it must be a checkout of minideconv (git worktree add)"
        )
    folders = {"here": ROOT, "before": options.before.resolve()}
    commits = {name: commit(folder) for name, folder in folders.items()}
    if options.again:
        found: dict[str, Any] = load_shown(options.again, table)
        rows = once_more(folders, found["rows"], options.turns)
        found |= {"rows": rows, "again": {"date": date.today().isoformat(), **commits}}
        return _shown(found, options.out)
    found = {
        "date": date.today().isoformat(),
        "machine": machine.describe(),
        "versions": machine.versions(),
        **commits,
    }
    found["rows"] = measure(folders, options.only, options.turns)
    if not found["rows"]:
        raise BenchmarkError("there is no row that both versions have")
    return _shown(found, options.out)


def _shown(found: dict[str, Any], out: Path | None) -> int:
    """Store and print a run; return 1 if a row is slower."""
    if out:
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"\n{table(found)}", end="")
    return int(any(slower(row) for row in found["rows"]))


if __name__ == "__main__":
    sys.exit(run_program("benchmarks.regressions", main))
