"""A student's file in its own process, with the limits of the course."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from minideconv.course.grading import StudentCode
from minideconv.course.settings import CourseSettings
from minideconv.course.worker import Worker

__all__ = ["open_worker"]


def open_worker(file: Path, settings: CourseSettings) -> AbstractContextManager[StudentCode]:
    """Return the worker of a file.

    Raises
    ------
    UsageError
        If the course's arrays are not installed here.
    """
    return Worker(file, limits=settings.limits, forbid=settings.forbid, arrays=settings.backend)
