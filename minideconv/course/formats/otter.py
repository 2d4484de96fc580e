"""The results file of otter-grader: Gradescope's, with a test for each question.

A question is an operation; what is public of it is summed up in a test of its own, "Public Tests",
as otter does it.
"""

from __future__ import annotations

import json
from typing import Any

from minideconv.course.results import GRADER, OutcomeResult, Result, number

__all__ = ["document", "write"]


def write(result: Result) -> str:
    """Return the file ``results.json``."""
    return json.dumps(document(result), indent=1, ensure_ascii=False) + "\n"


def document(result: Result) -> dict[str, Any]:
    """Return what the file holds."""
    found = {"output": result.headline(), "extra_data": {"grader": GRADER, "unit": result.unit}}
    if result.state == "fault":
        return {**found, "score": 0, "tests": []}
    public = [o for o in result.outcomes if not o.hidden]
    summary = {"name": "Public Tests", "visibility": "visible", "output": _summary(public)}
    questions = dict.fromkeys(o.operation for o in result.outcomes)
    tests = [_question(result, name) for name in questions]
    return {**found, "tests": [summary, *tests]}


def _question(result: Result, name: str) -> dict[str, Any]:
    outcomes = [o for o in result.outcomes if o.operation == name]
    hidden = any(o.hidden for o in outcomes)
    return {
        "name": name,
        "score": number(sum(o.points for o in outcomes)),
        "max_score": number(sum(o.max_points for o in outcomes)),
        "visibility": result.hidden_visibility if hidden else "visible",
        "output": _summary(outcomes),
    }


def _summary(outcomes: list[OutcomeResult]) -> str:
    parts = [f"{o.label}: {o.text(case=not o.hidden)}" for o in outcomes]
    return "\n\n".join(parts)
