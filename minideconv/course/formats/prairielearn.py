"""PrairieLearn's ``results.json``: a score from 0 to 1, and a test with points for each check.

A file that cannot be run at all is "not gradable", which costs the student no attempt; so is every
submission where the grader failed. The file may have 1 MB: pictures are left out before texts are.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from minideconv.course.picture import svg
from minideconv.course.results import GRADER, OutcomeResult, Result, number

__all__ = ["document", "write"]

MOST = 950_000
"""Bytes of the file."""


def write(result: Result) -> str:
    """Return the file ``/grade/results/results.json``, shorter than 1 MB."""
    for pictures, characters in ((True, 4000), (False, 4000), (False, 500), (False, 60)):
        text = json.dumps(document(result, pictures, characters), ensure_ascii=False) + "\n"
        if len(text.encode("utf-8")) <= MOST:
            break
    return text


def document(result: Result, pictures: bool = True, characters: int = 4000) -> dict[str, Any]:
    """Return what the file holds, texts cut to so many characters."""
    message = result.headline()
    if result.state == "fault" or result.problems:
        errors = result.faults or result.problems
        return {
            "grader": GRADER,
            "gradable": False,
            "score": 0.0,
            "format_errors": [error[:characters] for error in errors],
            "message": message[:characters],
        }
    share = result.points / result.max_points if result.max_points else 0.0
    tests = [_test(outcome, pictures, characters) for outcome in result.outcomes]
    return {
        "grader": GRADER,
        "gradable": True,
        "score": min(1.0, max(0.0, round(share, 6))),
        "message": message[:characters],
        "output": "",
        "tests": tests,
    }


def _test(outcome: OutcomeResult, pictures: bool, characters: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": outcome.label,
        "description": ", ".join(outcome.mistakes),
        "points": number(outcome.points),
        "max_points": number(outcome.max_points),
        "message": outcome.text(case=not outcome.hidden)[:characters],
        "output": "",
    }
    drawing = svg(outcome.got, outcome.want) if pictures and not outcome.hidden else ""
    if drawing:
        data = base64.b64encode(drawing.encode("utf-8")).decode("ascii")
        url = f"data:image/svg+xml;base64,{data}"
        found["images"] = [{"label": "yours, what must be, the difference", "url": url}]
    return found
