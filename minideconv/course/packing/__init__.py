"""Archives for the platforms: everything that grading needs, so that it needs no network."""

from __future__ import annotations

from collections.abc import Callable

from minideconv.course.packing import gradescope, nbgrader, otter, prairielearn
from minideconv.course.packing.contents import Pack

__all__ = ["PLATFORMS", "Pack"]

PLATFORMS: dict[str, Callable[[Pack], dict[str, bytes]]] = {
    "gradescope": gradescope.files,
    "prairielearn": prairielearn.files,
    "otter": otter.files,
    "nbgrader": nbgrader.files,
}
