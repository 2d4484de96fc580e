"""``start``: make a student's folder of skeletons, sheets and a workflow."""

from __future__ import annotations

import argparse
from pathlib import Path

from minideconv.course.places import chosen_units, course_file, units_of
from minideconv.course.settings import read_course
from minideconv.course.student_folder import student_files, write_new
from minideconv.course.unit import BACKENDS

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("folder", metavar="DIR", help="where to; nothing in it is overwritten")
    parser.add_argument("--backend", choices=BACKENDS, help="arrays of NumPy or tensors of PyTorch"
                        " [as the course says]")  # fmt: skip
    parser.add_argument("--units", metavar="1-4", help="some of the units only, also 1,3 [all]")
    parser.add_argument("--course", metavar="FILE", help="a course.toml of your own")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    course = course_file(options.course)
    backend = options.backend or read_course(course).backend
    units = chosen_units(options.units, units_of(course))
    folder = Path(options.folder)
    write_new(folder, student_files(units, backend, course))
    for unit in units:
        print(f"{folder / unit.file}: {unit.title}")
    print(f"begin with {folder / 'README.md'}; to check, from within the folder {folder}:")
    print(f"    python -m minideconv.course check {units[0].file}")
    return 0
