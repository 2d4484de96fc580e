"""Checks from a notebook's cell: for nbgrader and otter-grader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from minideconv.course.formats import nbgrader
from minideconv.course.grading import grade, outcome_names
from minideconv.course.opening import open_worker
from minideconv.course.places import course_file, units_of
from minideconv.course.settings import read_course
from minideconv.course.unit import unit_named
from minideconv.errors import UsageError
from minideconv.testing.checking.calls import local_call
from minideconv.testing.checking.run import Checker
from minideconv.testing.operations import OPERATIONS

__all__ = ["points", "require"]


def points(file: str | Path, operation: str, *, course: str | None = None) -> float | int:
    """Check one operation of a file, print what is wrong, and return the points.

    As the last line of a cell of nbgrader this is the cell's value, by which it gives partial
    credit.

    Parameters
    ----------
    file : str or Path
        The student's file, written by ``%%writefile``.
    operation : str
        ``"conv2d"``.
    course : str, optional
        A ``course.toml``; that of the working folder, else the package's.

    Raises
    ------
    UsageError
        If the file belongs to no unit, or the unit has no such operation.
    """
    path = course_file(course, Path())
    file = Path(file)
    unit = unit_named(file.name, units_of(path))
    if operation not in unit.operations:
        there = ", ".join(unit.operations)
        raise UsageError(f"{unit.name} has no operation {operation!r}; there are {there}")
    weights = {n: w for n, w in unit.weights.items() if n.partition("/")[0] == operation}
    part = replace(unit, operations=(operation,), weights=weights)
    result = grade(part, file, read_course(path), open_worker)
    print(nbgrader.write(result).rpartition("\n")[0].rpartition("\n")[0])
    return nbgrader.value(result)


def require(env: Mapping[str, Any], outcome: str, *, examples: int = 25, seed: int = 0) -> None:
    """Run one check on the functions of a notebook, in this process.

    Parameters
    ----------
    env : mapping
        The notebook's names.
    outcome : str
        ``"conv2d/unit-stride"``.
    examples, seed : int
        As for `check_op`.

    Raises
    ------
    AssertionError
        If it fails; the message is the one that every platform shows.
    """
    name = outcome.partition("/")[0]
    if outcome not in outcome_names(name):
        raise UsageError(f"{name} has no check {outcome!r}")
    operation = OPERATIONS[name]
    functions = {n: env[n] for n in (name, *operation.needs) if callable(env.get(n))}
    checker = Checker(operation, local_call(operation, functions), examples=examples, seed=seed)
    for found in checker.run():
        if found.name == outcome:
            if found.failure is not None:
                raise AssertionError(found.failure.text())
            return
    raise AssertionError(f"{outcome} is checked when the kinds of geometry are right")
