"""The parser of ``python -m minideconv.course``, and the command that it chooses."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from minideconv.course.commands import (
    check,
    grade,
    pack,
    release,
    replay,
    selftest,
    start,
    stats,
)
from minideconv.settings.command_line import HelpFormatter, run_program
from minideconv.settings.command_line import make_parser as program_parser

__all__ = ["main", "make_parser"]

_EPILOG = """\
examples:
  python -m minideconv.course start my-course --units 1-3
  python -m minideconv.course check conv.py
  python -m minideconv.course grade handed-in --format gradescope --output results.json
  python -m minideconv.course pack --for gradescope --unit 1 --output autograder.zip

Exit codes: 0 done, 1 a check failed or a file is wrong, 2 wrong usage, 3 the grader failed.
"""
_COMMANDS = (start, check, replay, grade, pack, release, selftest, stats)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return run_program("minideconv.course", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    return int(options.run(options))


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = program_parser(
        "course", "Check, grade and count students' own layers.", epilog=_EPILOG
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in _COMMANDS:
        name = module.__name__.rpartition(".")[2]
        help_ = (module.__doc__ or "").split("\n")[0].partition(": ")[2].rstrip(".")
        options = subparsers.add_parser(
            name, help=help_, description=help_, formatter_class=HelpFormatter, allow_abbrev=False
        )
        module.add_options(options)
        options.set_defaults(run=module.run)
    return parser
