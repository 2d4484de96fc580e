"""``python -m minideconv.report``: a run's page again, runs side by side, event files."""

from __future__ import annotations

import sys

from minideconv.report.command import main, make_parser

__all__ = ["main", "make_parser"]

if __name__ == "__main__":
    sys.exit(main())
