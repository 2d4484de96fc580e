"""What stands between markers is taken out; what is not marked rightly is refused."""

from __future__ import annotations

import pytest

from minideconv.course.markers import strip_solution
from minideconv.errors import DataError

pytestmark = pytest.mark.cpu

GOOD = """\
def f(x):
    \"\"\"Say it.\"\"\"
    # BEGIN SOLUTION
    for i in x:
        y = i
    return y
    # END SOLUTION


class A:
    def g(self):
        if self:
            ### BEGIN SOLUTION
            return 1
            ### END SOLUTION


# BEGIN HIDDEN
ANSWER = 42
# END HIDDEN
z = 1
"""


def test_the_solution_becomes_an_error_of_the_right_indentation():
    assert (
        strip_solution(GOOD, "f.py")
        == """\
def f(x):
    \"\"\"Say it.\"\"\"
    raise NotImplementedError("write this part")


class A:
    def g(self):
        if self:
            raise NotImplementedError("write this part")


z = 1
"""
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f():\n    # BEGIN SOLUTION\n    return 1\n", "line 2: BEGIN SOLUTION is never ended"),
        ("# END SOLUTION\n", "line 1: END SOLUTION ends nothing"),
        ("# BEGIN SOLUTION\n# BEGIN HIDDEN\n", "line 2: BEGIN HIDDEN stands inside SOLUTION of"),
        ("# BEGIN SOLUTION\n# BEGIN SOLUTION\n", "markers are not nested"),
        ("# BEGIN SOLUTION\n# END HIDDEN\n", "line 2: END HIDDEN ends nothing"),
        ("x = 1  # BEGIN SOLUTION\n", "line 1: a marker stands on a line of its own"),
        ("# BEGIN SOLUTION here\n", "line 1: a marker stands on a line of its own"),
        ("x = 1\n", "no part is marked as solution"),
        (
            "if x:\n# BEGIN SOLUTION\n    y\n# END SOLUTION\n",
            "without its solution it is no Python",
        ),
    ],
)
def test_wrong_markers_are_refused(source, message):
    with pytest.raises(DataError, match=message):
        strip_solution(source, "f.py")
