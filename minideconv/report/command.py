"""The command line of ``python -m minideconv.report``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from minideconv.errors import UsageError
from minideconv.files.outputs import refuse_foreign_file
from minideconv.report.side_by_side import comparison_html, is_comparison
from minideconv.report.tensorboard import write_events
from minideconv.settings import command_line
from minideconv.settings.command_line import run_program
from minideconv.training.run.folder import RunFolder, write_text
from minideconv.training.run.report import write_report

__all__ = ["main", "make_parser"]

_DESCRIPTION = """\
Write report.html of a run folder again, also while the run still goes on.

  python -m minideconv.report RUN                    its page
  python -m minideconv.report RUN --tensorboard      and its metrics as an event file
  python -m minideconv.report --compare RUN RUN ...  several runs side by side on one page
"""
_MOST_RUNS = 12


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = command_line.make_parser(
        "report", _DESCRIPTION, usage="python -m minideconv.report RUN [RUN ...] [options]"
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="the run folder")
    parser.add_argument("--compare", action="store_true",
                        help="put runs side by side: curves, metrics, settings")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FILE", default=None,
                        help="with --compare, the page [runs.html]")  # fmt: skip
    parser.add_argument("--tensorboard", action="store_true",
                        help="also write RUN/tensorboard, metrics for TensorBoard")  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return run_program("minideconv.report", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    runs = [RunFolder(path) for path in options.runs]
    if options.compare:
        _compare(options, runs)
        return 0
    if options.output is not None:
        raise UsageError("--output is the page of --compare; a run's own is RUN/report.html")
    if len(runs) > 1:
        raise UsageError(f"{len(runs)} runs are named; add --compare to put them side by side")
    print(write_report(runs[0]))
    if options.tensorboard:
        print(write_events(runs[0]))
    return 0


def _compare(options: argparse.Namespace, runs: Sequence[RunFolder]) -> None:
    if options.tensorboard:
        raise UsageError("--tensorboard is of one run; leave out --compare")
    folders = {run.path.resolve() for run in runs}
    if len(folders) < len(runs) or not 2 <= len(runs) <= _MOST_RUNS:
        raise UsageError(f"--compare: name 2 to {_MOST_RUNS} runs, each once")
    page = Path(options.output or "runs.html")
    refuse_foreign_file("--output", page, is_comparison)
    write_text(page, comparison_html(runs))
    print(page)
