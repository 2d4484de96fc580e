"""``stats``: make a page for the class: which mistakes, how often, which kinds of geometry."""

from __future__ import annotations

import argparse
from pathlib import Path

from minideconv.course.class_page import Submission, page
from minideconv.course.results import GRADER, VERSION
from minideconv.errors import DataError, UsageError
from minideconv.files.atomic import replace_file, write_problem
from minideconv.files.outputs import refuse_foreign_file
from minideconv.files.reading import read_json, read_text
from minideconv.files.schema import (
    Mismatch,
    anything,
    choice,
    flag,
    list_of,
    mapping_of,
    number,
    table,
    text,
    whole,
)

__all__ = ["add_options", "read_submission", "run"]

_OUTCOME = table(
    {
        **dict.fromkeys(
            ("name", "kind", "title", "sentence", "entry", "call", "rule", "replay"), text
        ),
        "hidden": flag,
        "status": choice("passed", "failed", "not run"),
        "tried": whole(low=0),
        "mistakes": list_of(text),
        **dict.fromkeys(("points", "max_points", "seconds"), number(low=0)),
    }
)
_RESULT = table(
    {
        **dict.fromkeys(("grader", "unit", "title", "student"), text),
        "version": whole(low=VERSION, high=VERSION),
        "state": choice("running", "done", "fault"),
        **dict.fromkeys(("points", "max_points", "seconds"), number(low=0)),
        "problems": list_of(text),
        "faults": list_of(text),
        "seed": anything,
        "versions": mapping_of(text),
        "outcomes": list_of(_OUTCOME),
    }
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("results", metavar="RESULTS", nargs="+",
                        help="files of `grade --format json`, or folders with such files")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FILE", default="class.html",
                        help="the page [class.html]")  # fmt: skip
    parser.add_argument("--anonymous", action="store_true",
                        help="numbers in the place of names, in no order that tells")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    output = Path(options.output)
    refuse_foreign_file("--output", output, _is_page)
    found = [read_submission(path) for path in _files(options.results)]
    html = page(found, options.anonymous)
    try:
        replace_file(output, html.encode())
    except OSError as error:
        raise UsageError(f"--output {output}: {write_problem(error)}") from error
    print(f"{output}: {len(found)} submissions")
    return 0


def _files(words: list[str]) -> list[Path]:
    files: list[Path] = []
    for word in words:
        path = Path(word)
        if not path.exists():
            raise UsageError(f"there is no file or folder {path}")
        files += sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"{words[0]} holds no results (*.json)")
    return files


def read_submission(path: Path) -> Submission:
    """Read a result in the project's own format.

    Raises
    ------
    DataError
        If it is none.
    """
    try:
        found = read_json(path)
        _RESULT(found, "the result")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except Mismatch as error:
        raise DataError(f"{path} is no result that `grade` wrote as json: {error}") from None
    # Of a folder for each student, the folder has the name.
    stem = path.resolve().parent.name if path.stem in ("result", "results") else path.stem
    return Submission(found["student"] or stem, found)


def _is_page(path: Path) -> bool:
    """Whether a file is what this program wrote before."""
    try:
        return path.suffix == ".html" and GRADER in read_text(path, 1 << 28)
    except OSError:
        return False
