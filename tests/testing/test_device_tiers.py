"""What the tiers of devices promise: they use the device, or they fail and say so."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import device_tier
import pytest
from device_tier import ON_CI, TESTS, TOOLS

NOTHING_COLLECTED = 5


def session(*arguments, **environment):
    """Run pytest in a tier of devices."""
    names = ("CI", "HYPOTHESIS_PROFILE", "MINIDECONV_TEST_LADDER")
    env = {name: value for name, value in os.environ.items() if name not in names}
    env |= {"MINIDECONV_TEST_DEVICE": "fakecuda", **environment}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, arguments)],
        cwd=TESTS.parent,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def fakecuda():
    """Ask for everything that the tier needs."""
    missing = [] if (TOOLS / "fakecuda").is_dir() else [str(TOOLS / "fakecuda")]
    missing += [] if importlib.util.find_spec("cupy") else ["CuPy"]
    missing += [] if shutil.which("g++") else ["g++"]
    if missing:
        reason = f"the tier fakecuda needs {' and '.join(missing)}"
        pytest.fail(reason) if ON_CI else pytest.skip(reason)


def test_tests_run_there(fakecuda):
    done = session(TESTS / "ops" / "test_activations.py", "-k", "relu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_a_session_that_launched_no_kernel_fails(fakecuda):
    done = session(TESTS / "optim" / "test_schedules.py", "-k", "test_wrong")
    assert " passed" in done.stdout, done.stdout + done.stderr
    assert " failed" not in done.stdout
    assert done.returncode == 1
    assert "no kernel was launched: CuPy's fake device was not used" in done.stderr


def test_a_session_with_nothing_to_run_fails(fakecuda):
    done = session(TESTS / "test_geometry.py")
    assert done.returncode == NOTHING_COLLECTED
    assert "deselected" in done.stdout


def test_without_the_tools_the_reason_names_what_is_missing(tmp_path):
    done = session(TESTS / "test_geometry.py", MINIDECONV_TEST_TOOLS=str(tmp_path))
    assert done.returncode != 0
    assert f"needs {tmp_path / 'fakecuda'}, which is missing" in done.stdout + done.stderr


def test_an_unknown_device_is_named():
    done = session(TESTS / "test_geometry.py", MINIDECONV_TEST_DEVICE="tpu")
    assert done.returncode != 0
    assert "MINIDECONV_TEST_DEVICE is 'tpu'; use cpu, fakecuda, gpu" in done.stdout + done.stderr


def test_a_part_that_is_none_is_named():
    done = session(TESTS / "test_geometry.py", MINIDECONV_TEST_PART="2/2")
    assert done.returncode != 0
    assert "MINIDECONV_TEST_PART is '2/2'; use 0/2 or 1/2, say" in done.stdout + done.stderr


class File(NamedTuple):
    """An item of pytest, as far as its file goes."""

    path: Path
    number: int


def test_the_parts_are_all_files_once(monkeypatch):
    items = [File(Path(f"test_{name}.py"), k) for name in "fcabe" for k in range(3)]
    left_out = []
    for part in range(2):
        monkeypatch.setattr(device_tier, "PART", (part, 2))
        left_out.append(device_tier.in_another_part(items))
    assert set(items) == left_out[0] | left_out[1]
    assert not left_out[0] & left_out[1]
    assert all(left_out)
    assert all(len({i.path for i in lot}) * 3 == len(lot) for lot in left_out), "whole files"


def test_what_is_about_the_cpu_alone_is_there():
    missing = [name for name in device_tier.CPU_ONLY if not (TESTS / name).exists()]
    assert not missing, f"support/device_tier.py names tests that are gone: {missing}"
    assert all(device_tier.CPU_ONLY.values()), "each with a reason"
