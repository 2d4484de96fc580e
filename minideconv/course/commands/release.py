"""``release``: make the students' repository of your course, without solutions and secret."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from minideconv.course.markers import is_marker
from minideconv.course.places import chosen_units, course_file, units_of
from minideconv.course.settings import read_course
from minideconv.course.student_folder import student_files, write_new
from minideconv.course.unit import BACKENDS, Unit
from minideconv.errors import DataError
from minideconv.files.reading import read_text

__all__ = ["add_options", "run", "survivors"]

LONG = 30
"""Characters of a line that nobody writes by chance."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("folder", metavar="DIR", help="where to; nothing in it is overwritten")
    parser.add_argument("--backend", choices=BACKENDS, help="[as the course says]")
    parser.add_argument("--units", metavar="1-4", help="some of the units only [all]")
    parser.add_argument("--course", metavar="FILE", help="a course.toml of your own; units/ beside "
                        "it takes the place of the package's units of those names")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    course = course_file(options.course)
    settings = read_course(course)
    backend = options.backend or settings.backend
    units = chosen_units(options.units, units_of(course))
    files = student_files(units, backend, course)
    for unit in units:
        found = survivors(unit, backend, files)
        if found:
            name, line = found[0]
            raise DataError(f"{name} would show students a line of {unit.name}'s solution: {line}")
    if settings.secret:
        holding = [name for name, text in files.items() if settings.secret.encode() in text]
        if holding:
            raise DataError(f"{holding[0]} would hold the secret of {course}")
    folder = Path(options.folder)
    write_new(folder, files)
    print(f"{folder}: {len(files)} files for students, of {len(units)} units")
    return 0


def survivors(unit: Unit, backend: str, files: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Return the lines of a unit's solution that stand in some file for students, with its name.

    Lines that the skeleton has outside of the markers, and short ones, give nothing away.
    """
    inside: set[str] = set()
    outside: set[str] = set()
    deep = False
    for line in read_text(unit.solution(backend)).splitlines():
        word = line.strip()
        if is_marker(word):
            deep = "BEGIN" in word
        else:
            (inside if deep else outside).add(word)
    secret = {line for line in inside - outside if len(line) >= LONG}
    return [
        (name, line.strip())
        for name, content in files.items()
        for line in content.decode("utf-8", "replace").splitlines()
        if line.strip() in secret
    ]
