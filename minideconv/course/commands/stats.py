"""``stats``: make a page for the class: which mistakes, how often, which kinds of geometry."""

from __future__ import annotations

import argparse
from pathlib import Path

from minideconv.course.results import GRADER
from minideconv.course.stored import read_submission
from minideconv.errors import UsageError
from minideconv.files.atomic import replace_file, write_problem
from minideconv.files.outputs import refuse_foreign_file
from minideconv.files.reading import read_text

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("results", metavar="RESULTS", nargs="+",
                        help="files of `grade --format json`, or folders of them")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FILE", default="class.html",
                        help="the page [class.html]")  # fmt: skip
    parser.add_argument("--anonymous", action="store_true",
                        help="numbers in the place of names, in no order that tells")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    # Imported late: it needs Pillow, which is not there where submissions are graded.
    from minideconv.course.class_page import page

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


def _is_page(path: Path) -> bool:
    """Whether a file is what this program wrote before."""
    try:
        return path.suffix == ".html" and GRADER in read_text(path, 1 << 28)
    except OSError:
        return False
