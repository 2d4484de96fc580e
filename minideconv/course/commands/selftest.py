"""``selftest``: try the kit itself: references, skeletons, every mistake of the bank."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from minideconv.course.places import chosen_units, course_file, units_of
from minideconv.course.terminal import Painter
from minideconv.course.trials import Trial, Verdict, attempt, attempt_all, trials
from minideconv.settings.command_line import positive

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--units", metavar="1-4", help="some of the units only [all]")
    parser.add_argument("--processes", metavar="N", type=positive, default=2,
                        help="work on so many trials at a time [2]")  # fmt: skip
    parser.add_argument("--course", metavar="FILE", help="a course.toml of your own")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only what went wrong")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    begin = time.monotonic()
    course = course_file(options.course)
    units = chosen_units(options.units, units_of(course))
    painter = Painter(sys.stdout)
    verdicts = []
    for verdict in _attempts(trials(units, course), options.processes):
        verdicts.append(verdict)
        if not verdict.right:
            print(painter.paint(f"WRONG  {verdict.trial.label}: {verdict.text}", "red"), flush=True)
        elif not options.quiet and verdict.text:
            print(f"-      {verdict.trial.label}: {verdict.text}", flush=True)
    wrong = sum(not v.right for v in verdicts)
    if not options.quiet:
        print(_table(verdicts))
        print(f"{len(verdicts)} trials, {wrong} went wrong, {time.monotonic() - begin:.1f} s")
    return 1 if wrong else 0


def _attempts(waiting: list[Trial], processes: int) -> Iterator[Verdict]:
    if processes == 1:
        yield from map(attempt, waiting)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for verdicts in pool.map(attempt_all, _lots(waiting)):
            yield from verdicts


def _lots(waiting: list[Trial]) -> list[list[Trial]]:
    """Return the trials in lots, each of which one process does.

    What the bank gives on the probes is worked out in each process that needs it: mistakes of one
    output stay together. The slow ones come first, so that no process is left with one at the end.
    """
    lots: dict[str, list[Trial]] = {}
    for trial in waiting:
        key = trial.label.split(":")[0] if trial.kind == "mistake" else trial.label
        lots.setdefault(key, []).append(trial)
    return sorted(lots.values(), key=lambda lot: (lot[0].kind == "mistake", -len(lot)))


def _table(verdicts: list[Verdict]) -> str:
    """Return how many trials of each kind there were, and how long they took."""
    lines = [f"{'trials':24} {'right':>9} {'seconds':>8} {'slowest':>8}"]
    for kind in dict.fromkeys(v.trial.kind for v in verdicts):
        these = [v for v in verdicts if v.trial.kind == kind]
        right = f"{sum(v.right for v in these)}/{len(these)}"
        seconds = [v.seconds for v in these]
        lines.append(f"{kind:24} {right:>9} {sum(seconds):8.1f} {max(seconds):8.1f}")
    return "\n".join(lines)
