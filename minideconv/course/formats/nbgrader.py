"""What a grading cell of nbgrader prints, and its value.

nbgrader gives partial credit by the last value of a cell, which must lie between 0 and the cell's
points. Everything before the last line is the message to the student.
"""

from __future__ import annotations

from minideconv.course.results import GRADER, Result, number

__all__ = ["value", "write"]


def write(result: Result) -> str:
    """Return the message, then the value on the last line."""
    lines = [f"{GRADER}: {result.unit}", result.headline(), ""]
    for outcome in result.outcomes:
        mark = {"passed": "ok", "failed": "WRONG"}.get(outcome.status, "-")
        lines.append(f"{mark:6}{outcome.label}")
        if outcome.status == "failed":
            text = outcome.text(case=not outcome.hidden)
            lines += [f"      {line}" for line in text.split("\n")]
    return "\n".join([*lines, str(value(result))]) + "\n"


def value(result: Result) -> float | int:
    """Return the points, as the last value of a cell."""
    return number(result.points)
