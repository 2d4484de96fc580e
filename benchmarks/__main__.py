"""``python -m benchmarks``: measure on the CPU, show what was stored as a table, draw it.

    python -m benchmarks cpu [--threads 1 2] [--only SECTION ...] [--quick] [--out FILE]
    python -m benchmarks table FILE [--out PAGE.md]
    python -m benchmarks plot FILE --out FOLDER

Exit codes: 0 done, 1 a measurement failed, 2 wrong usage, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from minideconv.errors import UsageError
from minideconv.settings.command_line import HelpFormatter, positive, run_program

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    if options.command == "cpu":
        _cpu(options)
    elif options.command == "table":
        _table(options.results, options.out)
    else:
        _plot(options.results, options.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__.split("\n")[0], formatter_class=HelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    cpu = commands.add_parser("cpu", help="measure, print a table, store JSON and Markdown")
    cpu.add_argument(
        "--threads", type=positive, nargs="+", default=[1], metavar="N", help="threads, one or more"
    )
    cpu.add_argument("--quick", action="store_true", help="small sizes, three rounds: a trial")
    cpu.add_argument("--only", nargs="+", metavar="SECTION", help="only these sections")
    cpu.add_argument("--rounds", type=positive, metavar="N", help="turns of each contender")
    cpu.add_argument("--out", type=Path, metavar="FILE", help="results, merged if it exists")
    table = commands.add_parser("table", help="show stored results as Markdown")
    table.add_argument("results", type=Path)
    table.add_argument("--out", type=Path, metavar="PAGE", help="write there instead of printing")
    plot = commands.add_parser("plot", help="draw stored results")
    plot.add_argument("results", type=Path)
    plot.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    return parser


def _cpu(options: argparse.Namespace) -> None:
    from benchmarks.modes import the_torch
    from benchmarks.timing import cores

    if max(options.threads) > cores():
        raise UsageError(
            f"--threads {max(options.threads)}: this process may use {cores()} cores; more threads"
            " than cores measure only how they wait for each other"
        )
    the_torch()  # an error now if it is missing

    from benchmarks import cpu
    from benchmarks.plans import FULL, QUICK

    unknown = sorted(set(options.only or ()) - cpu.SECTIONS.keys())
    if unknown:
        legal = ", ".join(cpu.SECTIONS)
        raise UsageError(f"--only {' '.join(unknown)}: there is no such section; use {legal}")
    plan = QUICK if options.quick else FULL
    if options.rounds:
        plan = replace(plan, rounds=options.rounds)
    out = options.out or _default_out(options.quick)
    cpu.run(
        plan, sorted(set(options.threads)), options.only or list(cpu.SECTIONS), out, options.quick
    )
    cpu.print_goals(out)


def _default_out(quick: bool) -> Path:
    name = "quick" if quick else "cpu"
    return ROOT / "benchmarks" / "results" / f"{name}-{datetime.date.today().isoformat()}.json"


def _table(results: Path, out: Path | None) -> None:
    from benchmarks import store, tables

    text = tables.render(store.load(results))
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, encoding="utf-8")


def _plot(results: Path, out: Path) -> None:
    from benchmarks import plots, store

    for path in plots.draw_all(store.load(results), out):
        print(f"drawn: {path}")


if __name__ == "__main__":
    sys.exit(run_program("benchmarks", main))
