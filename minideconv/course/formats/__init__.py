"""How a result is written for each platform; each file has a function ``write(result)``."""

from __future__ import annotations

from collections.abc import Callable

from minideconv.course.formats import (
    github,
    gradescope,
    json,
    junit,
    nbgrader,
    otter,
    prairielearn,
)
from minideconv.course.results import Result

__all__ = ["FORMATS", "write"]

FORMATS: dict[str, Callable[[Result], str]] = {
    "gradescope": gradescope.write,
    "prairielearn": prairielearn.write,
    "otter": otter.write,
    "nbgrader": nbgrader.write,
    "junit": junit.write,
    "github": github.write,
    "json": json.write,
}


def write(result: Result, name: str) -> bytes:
    """Return a result in the format of that name, as the bytes of a file."""
    return FORMATS[name](result).encode("utf-8")
