"""A graded submission in two formats: unit 1 with a convolution that flips its kernel."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from pages import DOCS, write

from minideconv.course.formats import github, gradescope
from minideconv.course.grading import grade
from minideconv.course.opening import open_worker
from minideconv.course.settings import read_course
from minideconv.course.unit import find_units

__all__ = ["write_all"]

_FLIP = """

right = conv2d


def conv2d(x, w, b=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    return right(x, w[:, :, ::-1, ::-1], b, stride, padding, dilation, groups)
"""


def write_all() -> None:
    """Write what the page about grading shows."""
    unit = find_units()["01_conv"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / unit.file
        file.write_text(unit.solution("numpy").read_text(encoding="utf-8") + _FLIP)
        settings = read_course()
        again = f"python -m minideconv.course replay {unit.file} '{{case}}'"
        result = grade(unit, file, settings, open_worker, replay=again)
    document = gradescope.document(result)
    document["tests"] = [t for t in document["tests"] if t["status"] == "failed"][:1]
    document["execution_time"] = 1.0  # so that the page is the same at every build
    document["tests"][0]["extra_data"]["seconds"] = 0.1
    text = json.dumps(document, indent=1, ensure_ascii=False)
    write(DOCS / "generated" / "course-gradescope.json", text + "\n")
    summary = github.write(result).split("\n\n### ")
    write(DOCS / "generated" / "course-github.md", "\n\n### ".join(summary[:2]) + "\n")
