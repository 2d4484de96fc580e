"""``python -m minideconv.report``: a run's page again, several runs side by side, event files."""

from minideconv.report.command import main, make_parser

__all__ = ["main", "make_parser"]
