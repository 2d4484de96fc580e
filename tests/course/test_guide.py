"""The steps of the teacher's guide, followed literally in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "teachers.md").read_text(encoding="utf-8")
STEPS = re.findall(r"^<!-- transcript: (\d) -->\n```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.cpu


def test_the_guide_can_be_followed(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "100"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    transcript = []
    for code, commands in STEPS:
        done = subprocess.run(
            ["bash", "-e", "-c", commands],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        transcript.append(done.stdout)
        assert done.returncode == int(code), f"{commands}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    start, nothing, reference, flipped, graded, own = transcript
    assert "conv.py" in start
    assert nothing.count("is not written yet") == 4
    assert "ok" in reference
    assert "WRONG" not in reference
    assert "conv2d: kernel flipped." in flipped
    assert graded is not None
    assert own is not None

    result = json.loads((tmp_path / "results" / "ada.json").read_text(encoding="utf-8"))
    assert 0 < result["points"] < result["max_points"]
    page = (tmp_path / "class.html").read_text(encoding="utf-8")
    assert "kernel flipped" in page
    assert "Ada" not in page
    assert "secret" not in (tmp_path / "for-students" / "course.toml").read_text(encoding="utf-8")
    assert (tmp_path / "for-students" / "conv.py").exists()
    tests = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["tests"]
    assert any("kernel flipped" in test["output"] for test in tests)
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        assert {"setup.sh", "run_autograder"} <= set(archive.namelist())
