"""Gradescope's ``results.json``: a test for each check.

Fields as in Gradescope's autograder specification. Its totals are the sum of the tests' scores; a
score at the top would replace them, so there is one only where no test was judged.
"""

from __future__ import annotations

import json
from typing import Any

from minideconv.course.results import GRADER, OutcomeResult, Result, number

__all__ = ["document", "write"]


def write(result: Result) -> str:
    """Return the file ``/autograder/results/results.json``."""
    return json.dumps(document(result), indent=1, ensure_ascii=False) + "\n"


def document(result: Result) -> dict[str, Any]:
    """Return what the file holds."""
    found: dict[str, Any] = {
        "output": result.headline(),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "execution_time": round(result.seconds, 3),
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {"grader": GRADER, "unit": result.unit, "state": result.state},
        "tests": [],
    }
    if result.state == "fault":
        return {**found, "score": 0}
    found["tests"] = [
        _test(result, number_, outcome) for number_, outcome in enumerate(result.outcomes, 1)
    ]
    return found


def _test(result: Result, place: int, outcome: OutcomeResult) -> dict[str, Any]:
    return {
        "name": outcome.label,
        "number": str(place),
        "score": number(outcome.points),
        "max_score": number(outcome.max_points),
        "status": "passed" if outcome.status == "passed" else "failed",
        "output": outcome.text(case=not outcome.hidden),
        "output_format": "text",
        "visibility": result.hidden_visibility if outcome.hidden else "visible",
        "tags": list(outcome.mistakes),
        "extra_data": {"check": outcome.name, "kind": outcome.kind, "tried": outcome.tried,
                       "seconds": round(outcome.seconds, 3)},
    }  # fmt: skip
