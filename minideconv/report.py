"""``python -m minideconv.report RUN``: write a run folder's report.html again."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from minideconv.settings.command_line import make_parser, run_program
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.report import write_report

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return run_program("minideconv.report", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    description = "Write report.html of a run folder again, also while the run still goes on."
    parser = make_parser("report", description)
    parser.add_argument("run", metavar="RUN", help="the run folder")
    print(write_report(RunFolder(parser.parse_args(arguments).run)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
