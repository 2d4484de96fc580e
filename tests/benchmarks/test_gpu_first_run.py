"""The script for a bare machine with a GPU: each part on its own clock, and one verdict."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu_first_run.sh"
PARTS = ["rates", "training", "agreement", "steps", "layers", "strided", "crf"]

pytestmark = pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("timeout")), reason="needs bash and timeout"
)


def first_run(folder, statuses, *arguments):
    """Run the script with a Python that writes down its arguments and exits with a given status."""
    lines = [f'case "$*" in *"--only {part} "*) exit {code};; esac' for part, code in statuses]
    python = folder / "python"
    text = "\n".join(["#!/bin/sh", f'echo "$*" >>"{folder}/calls"', *lines, "exit 0", ""])
    python.write_text(text)
    python.chmod(0o755)
    done = subprocess.run(
        ["bash", str(SCRIPT), "--out", "x.json", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": str(python)},
    )
    calls = (folder / "calls").read_text().splitlines()
    assert all(" --out x.json" in call for call in calls)
    return done, [re.search(r"-m benchmarks\.gpu --only (\w+)", call)[1] for call in calls]


def test_all_parts_run_in_order_and_within_eight_minutes(tmp_path):
    done, parts = first_run(tmp_path, [], "--tiny")
    assert done.returncode == 0
    assert parts == PARTS
    limits = [int(number) for number in re.findall(r"at most (\d+) s", done.stdout)]
    assert len(limits) == len(PARTS)
    assert sum(limits) < 480
    assert re.search(r"^first run: passed, \d+ s$", done.stdout, re.MULTILINE)


def test_a_part_that_fails_or_is_stopped_costs_no_other_part(tmp_path):
    done, parts = first_run(tmp_path, [("training", 1), ("steps", 124)])
    assert done.returncode == 1
    assert parts == PARTS
    assert "training: failed with exit status 1" in done.stdout
    assert "steps: not finished after" in done.stdout
    assert "first run: not finished in its time: steps" in done.stdout
    assert re.search(r"^first run: FAILED: training, \d+ s$", done.stdout, re.MULTILINE)


def test_without_a_device_nothing_else_is_tried(tmp_path):
    done, parts = first_run(tmp_path, [("rates", 2)])
    assert done.returncode == 1
    assert parts == ["rates"]
    assert "FAILED at once: rates" in done.stdout


@pytest.mark.parametrize("argument", ["--only", "--page", "--bogus", "--out"])
def test_an_argument_that_is_none_is_wrong_usage(tmp_path, argument):
    done = subprocess.run(["bash", str(SCRIPT), argument], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("gpu_first_run.sh: ")
    assert done.stderr.count("\n") == 1


def test_help_is_the_scripts_head():
    done = subprocess.run(["bash", str(SCRIPT), "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("The first thing to run on a machine with a GPU")
    assert "set -uo" not in done.stdout


def test_what_is_left_out_is_printed_and_is_no_failure(tmp_path):
    done, parts = first_run(tmp_path, [("training", 3), ("agreement", 3)])
    assert done.returncode == 0
    assert parts == PARTS
    assert "left out, because something is missing: training agreement" in done.stdout
    assert "every other part passed" in done.stdout


def test_results_of_another_hour_or_device_are_not_kept(tmp_path):
    from benchmarks.gpu import SAME_RUN, _stored

    machine = dict.fromkeys(SAME_RUN, "same")
    file, sections = tmp_path / "gpu.json", {"rates": [{"name": "a"}]}
    assert _stored(file, machine, 1e9) == {}
    before = {"machine": {**machine, "date": "before midnight"}, "stored": 1e9}
    file.write_text(json.dumps({**before, "sections": sections}))
    assert _stored(file, machine, 1e9 + 100) == sections
    assert _stored(file, machine, 1e9 + 4000) == {}
    assert _stored(file, {**machine, "device": "another"}, 1e9 + 100) == {}
    file.write_text("{ cut off")
    assert _stored(file, machine, 1e9) == {}
