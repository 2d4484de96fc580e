"""A notebook for nbgrader: what students write goes into a file, which each grading cell checks.

The value of a grading cell is the points, so that nbgrader gives partial credit.
"""

from __future__ import annotations

import json
from typing import Any

from minideconv.course.grading import planned
from minideconv.course.packing.contents import Pack
from minideconv.course.results import number
from minideconv.course.student_folder import public_course, skeleton
from minideconv.files.reading import read_text

__all__ = ["files"]

_README = """\
source/{name}/{name}.ipynb is an assignment: put the folder into your course's source/ and release
it.
minideconv has to be installed where students work and where you grade; its wheel lies in wheels/:

    python -m pip install --no-index --no-deps wheels/{wheel}

course.toml stands beside the notebook, without its secret, because students get that folder.
"""


def files(pack: Pack) -> dict[str, bytes]:
    """Return the archive's files by name."""
    unit, settings = pack.unit, pack.settings
    handout = unit.folder / "handout.md"
    text = read_text(handout) if handout.is_file() else f"# {unit.title}\n"
    source = f"%%writefile {unit.file}\n{skeleton(unit, settings.backend)}"
    cells = [
        _cell("markdown", "sheet", text),
        _cell("code", "your-code", source, solution=True),
    ]
    outcomes = planned(unit, settings, hidden=False)
    for operation in unit.operations:
        points = sum(o.max_points for o in outcomes if o.operation == operation)
        cells.append(
            _cell(
                "code",
                f"check-{operation}",
                "from minideconv.course.notebook import points\n\n"
                f'points("{unit.file}", "{operation}")',
                points=number(points),
            )
        )
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    wheels = pack.wheels()
    readme = _README.format(name=unit.name, wheel=next(iter(wheels)))
    public = public_course(pack.course, settings.backend)
    return {
        f"source/{unit.name}/{unit.name}.ipynb": (json.dumps(notebook, indent=1) + "\n").encode(),
        f"source/{unit.name}/course.toml": public.encode(),
        "README.txt": readme.encode(),
        **{f"wheels/{name}": content for name, content in wheels.items()},
    }


def _cell(
    kind: str, name: str, source: str, *, solution: bool = False, points: float | None = None
) -> dict[str, Any]:
    """Return a cell with nbgrader's metadata (schema version 3)."""
    grading: dict[str, Any] = {
        "grade": points is not None,
        "grade_id": name,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    if points is not None:
        grading["points"] = points
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": name,
        "metadata": {"nbgrader": grading},
        "source": source.splitlines(keepends=True),
    }
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}
