"""``grade``: grade a submission, and write the result in a platform's format."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from minideconv.course.formats import FORMATS, write
from minideconv.course.formats.github import annotation_lines
from minideconv.course.grading import grade
from minideconv.course.opening import open_worker
from minideconv.course.places import course_file, units_of
from minideconv.course.results import GRADER, Result, clean
from minideconv.course.settings import read_course
from minideconv.course.submission import unit_of
from minideconv.course.unit import BACKENDS, unit_named
from minideconv.errors import MinideconvError, UsageError
from minideconv.files.atomic import replace_file, write_problem
from minideconv.files.outputs import refuse_foreign_file
from minideconv.files.reading import read_text

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("submission", metavar="SUBMISSION", help="a file, or a folder with it")
    parser.add_argument("--format", choices=tuple(FORMATS), required=True, help="of the result")
    parser.add_argument("-o", "--output", metavar="FILE", required=True,
                        help="the result; whole before the first check, after each")  # fmt: skip
    parser.add_argument("--unit", metavar="NAME", help="[that of the file's name]")
    parser.add_argument("--hidden", action="store_true",
                        help="run the hidden checks too; the course needs a secret")  # fmt: skip
    parser.add_argument("--backend", choices=BACKENDS, help="[as the course says]")
    parser.add_argument("--student", metavar="NAME", default="", help="who handed it in")
    parser.add_argument("--course", metavar="FILE", help="a course.toml of your own")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    output = Path(options.output)
    refuse_foreign_file("--output", output, _is_result)
    submission = Path(options.submission)

    def report(result: Result) -> None:
        try:
            replace_file(output, write(result, options.format))
        except OSError as error:
            raise UsageError(f"--output {output}: {write_problem(error)}") from error

    # Until there is a result, what is left behind if this program is killed says that it failed.
    nothing = Result(options.unit or "", "", (), student=options.student)
    report(nothing.broken("grading did not begin"))
    try:
        course = course_file(options.course)
        settings = read_course(course, backend=options.backend)
        units = units_of(course)
        unit = unit_named(options.unit, units) if options.unit else unit_of(submission, units)
        if not submission.exists():
            raise UsageError(f"there is no file or folder {submission}")
        result = grade(
            unit,
            submission,
            settings,
            open_worker,
            hidden=options.hidden,
            student=options.student,
            replay=f"python -m minideconv.course replay {unit.file} '{{case}}'",
            report=report,
        )
    except MinideconvError as error:
        with contextlib.suppress(UsageError):
            report(nothing.broken(str(error)))
        if error.exit_code != 2:
            error.exit_code = 3
        raise
    if options.format == "github":
        for line in annotation_lines(result, unit.file):
            print(line)
    else:
        print(clean(f"{output}: {result.headline()}"))
    return 3 if result.state == "fault" else 0


def _is_result(path: Path) -> bool:
    """Whether a file is what this program wrote before."""
    try:
        return path.suffix not in (".py", ".ipynb") and GRADER in read_text(path)
    except OSError:
        return False
