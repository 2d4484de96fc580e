"""``python -m minideconv.course``: check, grade and count students' own layers."""

from __future__ import annotations

import sys

from minideconv.course.command import main, make_parser

__all__ = ["main", "make_parser"]

if __name__ == "__main__":
    sys.exit(main())
