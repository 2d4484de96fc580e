"""``python -m minideconv.report RUN``: write a run folder's report.html again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from minideconv.settings.command_line import HelpFormatter, run_program

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return run_program("minideconv.report", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m minideconv.report",
        description="Write report.html of a run folder again, also while the run still goes on.",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="the run folder")
    options = parser.parse_args(arguments)

    # Imported late, so that --help is quick.
    from minideconv.training.run.folder import RunFolder
    from minideconv.training.run.report import write_report

    print(write_report(RunFolder(options.run)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
