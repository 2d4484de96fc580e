"""``python -m minideconv.report``: write a run's report.html again, or compare runs."""

from __future__ import annotations

import sys

from minideconv.report.command import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
