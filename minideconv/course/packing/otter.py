"""Test files for otter-grader, one for each operation, and the wheel that they need."""

from __future__ import annotations

from minideconv.course.grading import planned
from minideconv.course.packing.contents import Pack
from minideconv.course.results import OutcomeResult, number

__all__ = ["files"]

_HEAD = '''\
"""Checks of {operation}, for otter-grader. The functions are those of the student's notebook."""

import glob
import sys

from otter.test_files import test_case

# Where minideconv is not installed, its wheel beside the tests is used; it is plain Python.
for wheel in glob.glob("minideconv-*.whl") + glob.glob("files/minideconv-*.whl"):
    folder = wheel.removesuffix(".whl")
    if folder not in sys.path:
        import zipfile

        zipfile.ZipFile(wheel).extractall(folder)
        sys.path.append(folder)

from minideconv.course.notebook import require

OK_FORMAT = False
name = "{operation}"
points = {points}
'''

_CASE = """

@test_case(name="{name}", points={points}, hidden={hidden})
def test_{place}(env):
    require(env, "{name}"{seed})
"""

_README = """\
tests/ holds a test file for each function of the unit {title}. With otter installed:

    otter generate -t tests -o autograder.zip files/{wheel}

Students keep tests/ and files/ beside their notebook and call otter.Notebook().check("{first}").
otter calls the functions in its own process, without the limits that `grade` sets.
"""


def files(pack: Pack) -> dict[str, bytes]:
    """Return the archive's files by name."""
    outcomes = planned(pack.unit, pack.settings, hidden=False)
    found = {
        f"tests/{operation}.py": _test_file(
            operation, [o for o in outcomes if o.operation == operation]
        ).encode()
        for operation in pack.unit.operations
    }
    wheels = pack.wheels()
    readme = _README.format(
        title=pack.unit.title, wheel=next(iter(wheels)), first=pack.unit.operations[0]
    )
    found["README.txt"] = readme.encode()
    return found | {f"files/{name}": content for name, content in wheels.items()}


def _test_file(operation: str, outcomes: list[OutcomeResult]) -> str:
    points = number(sum(o.max_points for o in outcomes))
    parts = [_HEAD.format(operation=operation, points=points)]
    parts += [
        _CASE.format(name=o.name, points=number(o.max_points), hidden=False, place=place, seed="")
        for place, o in enumerate(outcomes, 1)
    ]
    return "".join(parts)
