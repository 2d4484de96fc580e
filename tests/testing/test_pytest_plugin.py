"""``pytest --minideconv-target``: an item for each outcome, in any folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from minideconv import ops
from minideconv.testing.checking.check import checkers

ROOT = Path(__file__).resolve().parents[2]
STUDENT = """
from minideconv import ops

def conv2d(x, w, b=None, **settings):
    return ops.conv2d(x, w, b, **settings)

def my_conv2d(image, kernel, bias=None, **settings):
    return ops.conv2d(image, kernel[:, :, ::-1, ::-1], bias, **settings)

def my_im2col(x, **settings):
    return ops.im2col(x, **settings)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "student.py").write_text(STUDENT)
    # As if the package were installed: pytest finds the plugin by its entry point.
    info = tmp_path / "site" / "minideconv-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: minideconv\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[pytest11]\npytest_minideconv = pytest_minideconv\n")
    return tmp_path


def run(folder, *words, code=None):
    command = ["-c", code] if code else ["-m", "pytest", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, *command, "--minideconv-examples=2", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{folder / 'site'}{os.pathsep}{ROOT}", "COLUMNS": "200"},
    )


def test_the_entry_point_is_that_of_the_package():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points.pytest11]\npytest_minideconv = "pytest_minideconv"\n' in text


def test_right_functions_pass_and_k_chooses(folder):
    done = run(folder, "--minideconv-target=student", "-k", "conv2d/padding or float32", "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "student::conv2d/padding PASSED" in done.stdout
    assert "2 passed, 10 deselected" in done.stdout


def test_a_wrong_function_is_told_first_thing(folder):
    done = run(folder, "--minideconv-target=student:my_", "-x", "--junitxml=report.xml",
               "--minideconv-operations=conv2d,conv2d_backward")  # fmt: skip
    assert done.returncode == 1
    assert "conv2d_backward: there is no function my_conv2d_backward in student." in done.stdout
    done = run(folder, "--minideconv-target=student:my_", "--junitxml=report.xml")
    assert "conv2d: kernel flipped." in done.stdout
    assert "conv2d(image=[[[[" in done.stdout
    assert "Traceback" not in done.stdout
    cases = ElementTree.parse(folder / "report.xml").iter("testcase")
    results = {case.get("name"): case for case in cases}
    failure = results["conv2d/unit-stride"].find("failure")
    assert failure.get("message").startswith("conv2d: kernel flipped.")
    assert results["conv2d/float32"].find("skipped") is not None, "not reached"
    assert not list(results["im2col/padding"]), "passed"


@pytest.mark.parametrize(
    ("target", "content", "message"),
    [
        ("nobody", "", "ERROR: --minideconv-target nobody: there is no module nobody"),
        ("student.py", "", "this is a file; give the name of the module: student"),
        ("empty", "x = 1", "empty has no function to check: none of im2col, col2im, conv2d, "),
    ],
)
def test_wrong_usage_is_a_sentence(folder, target, content, message):
    if content:
        (folder / f"{target}.py").write_text(content)
    done = run(folder, f"--minideconv-target={target}")
    assert done.returncode == 4
    assert message in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_module_that_raises_shows_its_own_line(folder):
    (folder / "broken.py").write_text("def conv2d(x):\n    return x\n\nconv2d(1)[0]\n")
    done = run(folder, "--minideconv-target=broken")
    assert done.returncode == 1
    assert 'broken.py", line 4, in <module>' in done.stdout
    assert "TypeError: 'int' object is not subscriptable" in done.stdout
    assert "importlib" not in done.stdout


def test_it_costs_nothing_where_it_is_not_asked_for(folder):
    (folder / "test_it.py").write_text(
        "import sys\n\ndef test_light():\n"
        "    assert 'pytest_minideconv' in sys.modules\n"
        "    assert not {'numpy', 'minideconv'} & set(sys.modules)\n"
    )
    done = run(folder)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_beside_the_tests_of_a_repository(folder):
    (folder / "test_it.py").write_text("def test_own():\n    pass\n")
    done = run(folder, "--minideconv-target=student", "-q")
    assert done.returncode == 0, done.stdout
    assert "13 passed" in done.stdout


def test_the_names_of_the_items_are_those_of_the_outcomes():
    for checker in checkers({"conv2d": ops.conv2d, "im2col": ops.im2col}, examples=1):
        assert checker.outcome_names() == [outcome.name for outcome in checker.run()]
