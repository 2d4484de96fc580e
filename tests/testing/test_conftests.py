"""What the conftests promise: profiles, and that nothing is skipped silently on CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import repeats
from hypothesis import given, settings
from hypothesis import strategies as st

TESTS = Path(__file__).parents[1]
ORACLE = "oracles/test_torch_conv.py::test_im2col_is_unfold"
IMPORTORSKIP = """
import pytest
torch = pytest.importorskip("torch", reason="needs torch")
def test_nothing():
    pass
"""


def run(*arguments, **environment):
    """Run pytest as if torch were not installed."""
    script = "import sys, pytest; sys.modules['torch'] = None; sys.exit(pytest.main(sys.argv[1:]))"
    env = {k: v for k, v in os.environ.items() if k not in ("CI", "HYPOTHESIS_PROFILE")}
    return subprocess.run(
        [sys.executable, "-c", script, "-p", "no:cacheprovider", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=env | environment,
        cwd=TESTS.parent,
        timeout=300,
    )


def test_without_torch_an_oracle_test_is_skipped_with_the_reason():
    done = run(TESTS / ORACLE)
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout
    assert "needs torch: pip install torch==2.13.0" in done.stdout


def test_on_ci_that_is_a_failure():
    done = run(TESTS / ORACLE, CI="true")
    assert done.returncode == 1, done.stdout
    assert "needs torch: pip install torch==2.13.0 (on CI oracle tests must run)" in done.stdout


def test_on_ci_importorskip_is_a_failure_too(tmp_path):
    (tmp_path / "conftest.py").write_text((TESTS / "oracles" / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(IMPORTORSKIP)
    assert "1 skipped" in run(tmp_path).stdout
    done = run(tmp_path, CI="true")
    assert done.returncode != 0
    assert "skipped on CI, where oracle tests must run" in done.stdout


@pytest.mark.parametrize(
    ("profile", "asked", "tried"), [("again", 40, 10), ("again", 7, 7), ("ci", 40, 40)]
)
def test_a_session_that_repeats_others_keeps_to_its_profile(monkeypatch, profile, asked, tried):
    numbers = []

    @settings(max_examples=asked, database=None)
    @given(st.integers())
    def test(number):
        numbers.append(number)

    monkeypatch.setenv("HYPOTHESIS_PROFILE", profile)
    repeats.pytest_collection_modifyitems([SimpleNamespace(obj=test), SimpleNamespace(obj=run)])
    test()
    assert len(numbers) == tried


@pytest.mark.parametrize("name", ["dev", "ci", "fresh", "hunt"])
def test_profiles(name):
    profile = settings.get_profile(name)
    assert profile.deadline is None
    assert profile.report_multiple_bugs is False
    assert profile.print_blob
    assert profile.derandomize == (name == "ci")
    assert profile.max_examples == {"dev": 50, "ci": 40, "fresh": 100, "hunt": 5000}[name]
