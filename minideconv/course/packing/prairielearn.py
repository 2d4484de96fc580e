"""A PrairieLearn question whose ``tests`` folder grades it; PrairieLearn gives it no network."""

from __future__ import annotations

import json
import uuid
from html import escape

from minideconv.course.formats import prairielearn
from minideconv.course.packing.contents import UNPACK, Pack
from minideconv.course.results import Result

__all__ = ["files"]

_RUN = """\
#!/usr/bin/env bash
# Grades one submission. Needs no network.
set -uo pipefail
ROOT=${GRADE_ROOT:-/grade}
HERE=$ROOT/tests
PYTHON=${PYTHON:-python3}
VENDOR=$(mktemp -d)
chmod 755 "$VENDOR"
mkdir -p "$ROOT/results"
# What stays behind if Python itself cannot be started.
cat >"$ROOT/results/results.json" <<'END'
"""
_RUN_REST = """\
export PYTHONPATH=$VENDOR PYTHONDONTWRITEBYTECODE=1
COMMAND
exit 0
"""

_QUESTION = """\
<pl-question-panel>
  <p>Write <code>{file}</code>, as the sheet of the unit &ldquo;{title}&rdquo; asks for.</p>
  <pl-file-upload file-names="{file}"></pl-file-upload>
</pl-question-panel>
<pl-submission-panel>
  <pl-external-grader-results></pl-external-grader-results>
  <pl-file-preview></pl-file-preview>
</pl-submission-panel>
"""


def files(pack: Pack) -> dict[str, bytes]:
    """Return the archive's files by name: a folder for ``questions/``."""
    unit = pack.unit
    info = {
        "uuid": str(
            uuid.uuid5(uuid.NAMESPACE_URL, f"minideconv/{pack.settings.title}/{unit.name}")
        ),
        "title": unit.title,
        "topic": "Convolutional networks",
        "type": "v3",
        "singleVariant": True,
        "gradingMethod": "External",
        "externalGradingOptions": {
            "enabled": True,
            "image": "prairielearn/grader-python",
            "entrypoint": "/grade/tests/run.sh",
            "timeout": min(600, int(pack.settings.seconds) + 40),
        },
    }
    nothing = Result(unit.name, unit.title, ())
    fallback = prairielearn.write(nothing.broken("the grader could not be started"))
    command = pack.command(
        '"$ROOT/student"', "prairielearn", '"$ROOT/results/results.json"', '"$HERE/course.toml"'
    )
    run = f"{_RUN}{fallback}END\n{UNPACK}{_RUN_REST.replace('COMMAND', command)}"
    question = _QUESTION.format(file=unit.file, title=escape(unit.title))
    return {
        f"{unit.name}/info.json": (json.dumps(info, indent=2) + "\n").encode(),
        f"{unit.name}/question.html": question.encode(),
        f"{unit.name}/tests/run.sh": run.encode(),
        **pack.common(f"{unit.name}/tests/"),
    }
