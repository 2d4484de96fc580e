"""``replay``: show one case of a message again: the call, your result, the right one."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import numpy as np

from minideconv.course.checker import CourseChecker, Stop
from minideconv.course.opening import open_worker
from minideconv.course.pictures import Pictures
from minideconv.course.places import course_file
from minideconv.course.results import clean
from minideconv.course.settings import read_course
from minideconv.course.submission import refuse_unreadable
from minideconv.testing.checking.calls import Call, StudentFault
from minideconv.testing.checking.failure import shown
from minideconv.testing.checking.replay import case_from_text
from minideconv.testing.operations.operation import Array, Case, Operation

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("file", metavar="FILE", help="your file")
    parser.add_argument("case", metavar="CASE", help="the case in the last line of a message")
    parser.add_argument("--picture", metavar="DIR",
                        help="draw a wrong result beside the right one (SVG), and a convolution as "
                        "a matrix (PNG, with matplotlib)")  # fmt: skip
    parser.add_argument("--course", metavar="FILE", help="[course.toml of this folder]")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    file = Path(options.file)
    refuse_unreadable(file)
    operation, case = case_from_text(options.case)
    settings = read_course(course_file(options.course, Path()))
    with open_worker(file, settings) as code:
        call = code.call(operation)
        checker = CourseChecker(operation, call, names=code.names(operation))
        print(checker.written(case))
        if options.picture:
            _draw(Pictures(options.picture), operation, call, case)
        try:
            failure = checker.wrong(case)
            if failure is not None and not failure.arrays:
                print(clean(failure.entry or failure.title))
                return 1
            got = call(*operation.call_arguments(case)).outputs
            broken = None if failure is not None else checker.broken_promise(case)
        except (Stop, StudentFault) as fault:
            print(clean(str(fault)))
            return 1
    for output, want in operation.expected(case).items():
        print(f"\n{output}, what must be:\n{_rows(want.value)}")
        if got[output].shape == want.value.shape and np.array_equal(got[output], want.value):
            print(f"{output}, yours: the same")
            continue
        print(f"{output}, yours:\n{_rows(got[output])}")
        if got[output].shape == want.value.shape:
            difference = got[output].astype(float) - want.value.astype(float)
            print(f"difference:\n{_rows(difference)}")
    if failure is None:
        print("\nThe result is right on this case.")
        if broken is None:
            return 0
        print(clean("\n".join(filter(None, (f"But {broken.title}.", broken.entry)))))
        return 1
    print(f"\n{clean(failure.entry)}")
    if failure.rule:
        print(f"Rule: {failure.rule}")
    return 1


def _draw(pictures: Pictures, operation: Operation, call: Call, case: Case) -> None:
    with contextlib.suppress(StudentFault):  # said where the case is called again
        outputs = call(*operation.call_arguments(case)).outputs
        for output, want in operation.expected(case).items():
            if not np.array_equal(outputs[output], want.value):
                pictures.result(f"{operation.name}-{output}", outputs[output], want.value)
    pictures.matrix(operation.name, operation, call, case)


def _rows(array: Array) -> str:
    """Return an array, each row of its last axis on a line of its own."""
    if array.ndim < 2 or array.size > 256:
        return f"  {shown(array)}"
    lines: list[str] = []
    for place in np.ndindex(array.shape[:-1]):
        if place[-1] == 0 and lines:
            lines.append("")
        lines.append("  " + " ".join(f"{shown(number):>6}" for number in array[place]))
    return "\n".join(lines)
