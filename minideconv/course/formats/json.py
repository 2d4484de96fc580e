"""The project's own format, which ``stats`` reads: JSON that ``schemas/result.json`` describes."""

from __future__ import annotations

import json

from minideconv.course.results import Result

__all__ = ["write"]


def write(result: Result) -> str:
    """Return the whole result, the cases of hidden checks included: it is the teacher's."""
    return json.dumps(result.as_json(), indent=1, ensure_ascii=False) + "\n"
