"""Results in the project's own format, read again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minideconv.course.results import VERSION
from minideconv.errors import DataError
from minideconv.files.reading import read_json
from minideconv.files.schema import (
    Mismatch,
    anything,
    choice,
    flag,
    list_of,
    mapping_of,
    number,
    table,
    text,
    whole,
)

__all__ = ["Submission", "read_submission"]

_OUTCOME = table(
    {
        **dict.fromkeys(
            ("name", "kind", "title", "sentence", "entry", "call", "rule", "replay"), text
        ),
        "hidden": flag,
        "status": choice("passed", "failed", "not run"),
        "tried": whole(low=0),
        "mistakes": list_of(text),
        **dict.fromkeys(("points", "max_points", "seconds"), number(low=0)),
    }
)
_RESULT = table(
    {
        **dict.fromkeys(("grader", "unit", "title", "student"), text),
        "version": whole(low=VERSION, high=VERSION),
        "state": choice("running", "done", "fault"),
        **dict.fromkeys(("points", "max_points", "seconds"), number(low=0)),
        "problems": list_of(text),
        "faults": list_of(text),
        "seed": anything,
        "versions": mapping_of(text),
        "outcomes": list_of(_OUTCOME),
    }
)


@dataclass(frozen=True)
class Submission:
    """A student's name and result, in the form of `Result.as_json`."""

    student: str
    result: dict[str, Any]

    @property
    def outcomes(self) -> list[dict[str, Any]]:
        """The checks."""
        return list(self.result["outcomes"])


def read_submission(path: Path) -> Submission:
    """Read a result in the project's own format.

    Raises
    ------
    DataError
        If it is none.
    """
    try:
        found = read_json(path)
        _RESULT(found, "the result")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except Mismatch as error:
        raise DataError(f"{path} is no result that `grade` wrote as json: {error}") from None
    # Of a folder for each student, the folder has the name.
    stem = path.resolve().parent.name if path.stem in ("result", "results") else path.stem
    return Submission(found["student"] or stem, found)
