"""``pack``: make an autograder archive that needs no network when it grades."""

from __future__ import annotations

import argparse
from pathlib import Path

from minideconv.course.packing import PLATFORMS, Pack
from minideconv.course.packing.wheel import archive
from minideconv.course.places import course_file, units_of
from minideconv.course.settings import hidden_seed, read_course
from minideconv.course.unit import BACKENDS, unit_named
from minideconv.errors import UsageError
from minideconv.files.atomic import replace_file, write_problem
from minideconv.files.outputs import refuse_foreign_file
from minideconv.files.reading import read_bytes

__all__ = ["add_options", "run"]

_MOST_ARCHIVE = 1 << 30


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--for", dest="platform", choices=tuple(PLATFORMS), required=True,
                        help="which platform")  # fmt: skip
    parser.add_argument("--unit", metavar="NAME", required=True, help="01_conv, or 1")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the zip archive")
    parser.add_argument("--hidden", action="store_true",
                        help="run the hidden checks too; the course needs a secret")  # fmt: skip
    parser.add_argument("--backend", choices=BACKENDS, help="[as the course says]")
    parser.add_argument("--course", metavar="FILE", help="a course.toml of your own")
    parser.add_argument("--wheelhouse", metavar="DIR",
                        help="wheels to put in, NumPy's for the platform's Python [the image's "
                        "NumPy is used]")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    course = course_file(options.course)
    settings = read_course(course, backend=options.backend)
    unit = unit_named(options.unit, units_of(course))
    output = Path(options.output)
    refuse_foreign_file("--output", output, _is_archive)
    if options.hidden:
        if options.platform in ("otter", "nbgrader"):
            raise UsageError(
                f"--hidden: for {options.platform} students get the archive's files; let `grade`"
                " run the hidden checks"
            )
        hidden_seed(settings, unit.operations[0])
    house = Path(options.wheelhouse) if options.wheelhouse else None
    pack = Pack(unit, settings, course, options.hidden, house)
    files = PLATFORMS[options.platform](pack)
    try:
        replace_file(output, archive(files))
    except OSError as error:
        raise UsageError(f"--output {output}: {write_problem(error)}") from error
    print(f"{output}: {len(files)} files for {options.platform}, {unit.title}")
    return 0


def _is_archive(path: Path) -> bool:
    """Whether a file is what this program wrote before."""
    try:
        return path.suffix == ".zip" and b"minideconv-" in read_bytes(path, _MOST_ARCHIVE)
    except OSError:
        return False
