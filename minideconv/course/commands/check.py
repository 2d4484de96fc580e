"""``check``: check your own files; what is wrong is shown by the smallest call."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from minideconv.course.grading import StudentCode, grade
from minideconv.course.opening import open_worker
from minideconv.course.pictures import Pictures
from minideconv.course.places import course_file, units_of
from minideconv.course.results import OutcomeResult, Result
from minideconv.course.settings import read_course
from minideconv.course.terminal import Painter
from minideconv.course.unit import Unit, unit_named
from minideconv.errors import UsageError
from minideconv.settings.command_line import positive
from minideconv.testing.checking.replay import case_from_text, case_in
from minideconv.testing.tap_matrix import LINEAR

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("what", metavar="UNIT|FILE", nargs="*",
                        help="units or files [all whose files are in this folder]")  # fmt: skip
    parser.add_argument("--examples", metavar="N", type=positive,
                        help="cases for each kind of geometry [as the course says]")  # fmt: skip
    parser.add_argument("--picture", metavar="DIR",
                        help="draw wrong results beside the right ones (SVG), and convolutions as "
                        "matrices (PNG, with matplotlib)")  # fmt: skip
    parser.add_argument("--course", metavar="FILE", help="[course.toml of this folder]")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    course = course_file(options.course, Path())
    settings = read_course(course)
    if options.examples:
        settings = replace(settings, examples=options.examples)
    painter = Painter(sys.stdout)
    worst = 0
    for unit, file in _targets(options.what, units_of(course)):
        print(painter.paint(f"{unit.title} ({file})", "bold"))
        result = grade(
            unit,
            file,
            settings,
            open_worker,
            replay=f"python -m minideconv.course replay {shlex.quote(str(file))} '{{case}}'",
            report=_Lines(painter),
        )
        print(painter.total(result))
        messages = painter.messages(result)
        if messages:
            print(f"\n{messages}\n")
        if options.picture and result.failures():
            with open_worker(file, settings) as code:
                _draw(Pictures(options.picture), result, code)
        worst = max(worst, 3 if result.state == "fault" else 0 if result.passed else 1)
    return worst


def _targets(words: list[str], units: dict[str, Unit]) -> list[tuple[Unit, Path]]:
    """Return what is to be checked: units with the files to look at."""
    if not words:
        found = [(unit, Path(unit.file)) for unit in units.values() if Path(unit.file).exists()]
        if not found:
            files = ", ".join(unit.file for unit in units.values())
            raise UsageError(f"none of the course's files is in this folder: {files}")
        return found
    targets = []
    for word in words:
        path = Path(word)
        unit = unit_named(path.name, units)
        file = path if path.name == unit.file else Path(unit.file)
        if not file.exists():
            raise UsageError(f"there is no file {file}; `start` makes it")
        targets.append((unit, file))
    return targets


class _Lines:
    """Prints each check as soon as it is over."""

    def __init__(self, painter: Painter) -> None:
        self.painter, self.done = painter, 0

    def __call__(self, result: Result) -> None:
        width = max(len(outcome.label) for outcome in result.outcomes)
        over = list(takewhile(_is_over, result.outcomes[self.done :]))
        for line in self.painter.lines(over, width):
            print(line, flush=True)
        self.done += len(over)


def _is_over(outcome: OutcomeResult) -> bool:
    return outcome.status != "not run" or bool(outcome.title)


def _draw(pictures: Pictures, result: Result, code: StudentCode) -> None:
    """Draw each wrong result, and the matrix of each mistake once."""
    drawn = set()
    for outcome in result.failures():
        pictures.result(outcome.name, outcome.got, outcome.want)
        mistake = outcome.operation, outcome.title
        text = case_in(outcome.replay)
        if outcome.operation in LINEAR and text and mistake not in drawn:
            drawn.add(mistake)
            operation, case = case_from_text(text)
            pictures.matrix(outcome.name, operation, code.call(operation), case)
