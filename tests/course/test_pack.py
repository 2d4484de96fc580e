"""Archives: unpacked into an empty folder and run there without a network."""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import small_course

from minideconv.course import formats
from minideconv.course.command import main
from minideconv.course.notebook import points
from minideconv.course.packing.wheel import wheel

pytestmark = pytest.mark.cpu

SCHEMAS = Path(formats.__file__).parent / "schemas"


def packed(course, tmp_path, platform, *more):
    output = tmp_path / f"{platform}.zip"
    words = ["pack", "--for", platform, "--unit", "01_conv", "--output", str(output)]
    assert main([*words, "--course", str(course), *more]) == 0
    folder = tmp_path / platform
    with zipfile.ZipFile(output) as archive:
        archive.extractall(folder)
    return output, folder


# -----------------------------------------------------------------------------------------------
# The wheel


def test_the_wheel_is_one_and_holds_no_solution(tmp_path):
    name, content = wheel()
    assert wheel()[1] == content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        info = next(n.partition("/")[0] for n in names if ".dist-info" in n)
        assert name.startswith(info.removesuffix(".dist-info"))
        assert not [n for n in names if "solution_" in n or "__pycache__" in n]
        record = archive.read(f"{info}/RECORD").decode()
        rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(record))}
        assert rows.keys() == set(names)
        for each, (digest, size) in rows.items():
            if digest:
                found = archive.read(each)
                assert len(found) == int(size)
                kind, _, text = digest.partition("=")
                wanted = base64.urlsafe_b64encode(hashlib.new(kind, found).digest())
                assert text == wanted.rstrip(b"=").decode()
    for needed in ("minideconv/course/course.toml", "minideconv/course/formats/schemas/otter.json"):
        assert needed in names


def test_pip_installs_the_wheel(tmp_path):
    name, content = wheel()
    (tmp_path / name).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet",
         "--target", str(tmp_path / "there"), str(tmp_path / name)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there" / "minideconv" / "course" / "course.toml").is_file()


# -----------------------------------------------------------------------------------------------
# Gradescope and PrairieLearn, run


@pytest.fixture
def alone(tmp_path):
    """Run a script with neither this checkout nor a network; return its output."""
    # Without a namespace of its own for the network, a proxy that nobody serves stands in.
    unshare = ["unshare", "-rn"]
    able = bool(shutil.which("unshare"))
    able = able and subprocess.run([*unshare, "true"], check=False).returncode == 0
    environment = {
        "PATH": os.environ["PATH"],
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "HOME": str(tmp_path / "home"),
    }
    # The interpreter's own NumPy, and nothing else of its packages.
    site = tmp_path / "site"
    site.mkdir()
    packages = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (packages / name).exists():
            (site / name).symlink_to(packages / name)
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{site}" exec "{_bare_python()}" -S "$@"\n'
    )
    python.chmod(0o755)
    environment["PYTHON"] = str(python)

    def run(script, **more):
        words = [*(unshare if able else []), "bash", str(script)]
        done = subprocess.run(
            words, cwd=tmp_path, env=environment | {k: str(v) for k, v in more.items()},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _bare_python():
    """The interpreter behind the virtual environment's, if it is one."""
    return getattr(sys, "_base_executable", None) or sys.executable


SUBMISSIONS = [
    (small_course.NUMPY, small_course.total(), ""),
    (small_course.FLIPPED, small_course.total("conv2d_backward"), "kernel flipped"),
    ("import os\nos._exit(0)\n", 0, "conv2d"),
]


@pytest.mark.parametrize(("source", "score", "words"), SUBMISSIONS)
def test_a_gradescope_archive_grades_when_alone(course, tmp_path, alone, source, score, words):
    jsonschema = pytest.importorskip("jsonschema", reason="not installed (group oracles)")
    archive, _ = packed(course, tmp_path, "gradescope", "--hidden")
    root = tmp_path / "autograder"
    (root / "submission").mkdir(parents=True)
    (root / "submission" / "conv.py").write_text(source)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(root / "source")
        assert opened.getinfo("run_autograder").external_attr >> 16 & 0o111
        assert opened.getinfo("setup.sh").external_attr >> 16 & 0o111
    alone(root / "source" / "setup.sh")
    # The platform copies the script to the root.
    shutil.copy(root / "source" / "run_autograder", root / "run_autograder")
    alone(root / "run_autograder", AUTOGRADER_ROOT=root)
    text = (root / "results" / "results.json").read_text(encoding="utf-8")
    document = json.loads(text)
    jsonschema.validate(document, json.loads((SCHEMAS / "gradescope.json").read_text()))
    assert sum(test["score"] for test in document["tests"]) == pytest.approx(score)
    assert words in text
    assert {t["visibility"] for t in document["tests"]} == {"visible", "after_published"}
    assert "nobody knows that" not in text


def test_a_python_that_cannot_start_leaves_a_result(course, tmp_path, alone):
    jsonschema = pytest.importorskip("jsonschema", reason="not installed (group oracles)")
    _, folder = packed(course, tmp_path, "gradescope")
    shutil.copytree(folder, tmp_path / "root" / "source")
    alone(folder / "run_autograder", AUTOGRADER_ROOT=tmp_path / "root", PYTHON="/nonexistent")
    document = json.loads((tmp_path / "root" / "results" / "results.json").read_text())
    jsonschema.validate(document, json.loads((SCHEMAS / "gradescope.json").read_text()))
    assert "your code was not judged" in document["output"]


def test_a_prairielearn_question_grades_in_a_clean_folder(course, tmp_path, alone):
    jsonschema = pytest.importorskip("jsonschema", reason="not installed (group oracles)")
    _, folder = packed(course, tmp_path, "prairielearn")
    question = folder / "01_conv"
    info = json.loads((question / "info.json").read_text())
    assert info["externalGradingOptions"]["entrypoint"] == "/grade/tests/run.sh"
    assert 'file-names="conv.py"' in (question / "question.html").read_text()
    root = tmp_path / "grade"
    (root / "student").mkdir(parents=True)
    shutil.copytree(question / "tests", root / "tests")
    schema = json.loads((SCHEMAS / "prairielearn.json").read_text())
    for source, score, _ in SUBMISSIONS[:2]:
        (root / "student" / "conv.py").write_text(source)
        alone(root / "tests" / "run.sh", GRADE_ROOT=root)
        document = json.loads((root / "results" / "results.json").read_text())
        jsonschema.validate(document, schema)
        assert document["score"] == pytest.approx(score / small_course.total(), abs=1e-5)


# -----------------------------------------------------------------------------------------------
# otter and nbgrader


def test_otter_test_files(course, tmp_path, monkeypatch):
    """They run with a stand-in for the one name that they import of otter's."""
    _, folder = packed(course, tmp_path, "otter")

    class Case:
        def __init__(self, **about):
            self.about = about

        def __call__(self, function):
            self.function = function
            return self

    otter, test_files = types.ModuleType("otter"), types.ModuleType("otter.test_files")
    test_files.test_case = Case
    monkeypatch.setitem(sys.modules, "otter", otter)
    monkeypatch.setitem(sys.modules, "otter.test_files", test_files)
    monkeypatch.chdir(folder)
    student, wrong = {}, {}
    exec(small_course.NUMPY, student)
    exec(small_course.FLIPPED, wrong)
    assert len(list((folder / "files").glob("minideconv-*.whl"))) == 1
    for operation in ("conv2d", "conv2d_backward"):
        space = {}
        exec(compile((folder / "tests" / f"{operation}.py").read_text(), operation, "exec"), space)
        assert space["OK_FORMAT"] is False
        assert space["name"] == operation
        cases = [value for value in space.values() if isinstance(value, Case)]
        assert sum(case.about["points"] for case in cases) == space["points"]
        assert space["points"] == small_course.total(operation)
        for case in cases:
            case.function(student)
            if operation == "conv2d":
                with pytest.raises(AssertionError, match=r"kernel flipped|kinds of geometry"):
                    case.function(wrong)
            with pytest.raises(AssertionError, match=r"there is no function|kinds of geometry"):
                case.function({})


def test_an_nbgrader_notebook(course, tmp_path, capsys, monkeypatch):
    _, folder = packed(course, tmp_path, "nbgrader")
    home = folder / "source" / "01_conv"
    notebook = json.loads((home / "01_conv.ipynb").read_text())
    assert notebook["nbformat"] == 4
    cells = notebook["cells"]
    totals = [small_course.total(name) for name in ("conv2d", "conv2d_backward")]
    graded = [cell for cell in cells if cell["metadata"]["nbgrader"]["grade"]]
    assert [cell["metadata"]["nbgrader"]["points"] for cell in graded] == totals
    assert len({cell["metadata"]["nbgrader"]["grade_id"] for cell in cells}) == len(cells)
    own = next(cell for cell in cells if cell["metadata"]["nbgrader"]["solution"])
    magic, _, source = "".join(own["source"]).partition("\n")
    assert magic == "%%writefile conv.py"
    ast.parse(source)
    assert "einsum" not in source
    assert "nobody knows that" not in (home / "course.toml").read_text()
    # The grading cells, run as a notebook would.
    monkeypatch.chdir(home)
    for text, values in ((small_course.NUMPY, totals), (small_course.FLIPPED, [0, totals[1]])):
        Path("conv.py").write_text(text)
        found = []
        for cell in graded:
            lines = ast.parse("".join(cell["source"]))
            space = {}
            exec(compile(ast.Module(lines.body[:-1], []), "cell", "exec"), space)
            found.append(eval(compile(ast.Expression(lines.body[-1].value), "cell", "eval"), space))
        assert found == values
    assert "kernel flipped" in capsys.readouterr().out
    assert points is space["points"]


# -----------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--unit", "9"], "there is no unit '9'"),
        (["--wheelhouse", "."], "--wheelhouse . holds no wheels"),
        (["--hidden"], "hidden checks need a secret"),
    ],
)
def test_what_cannot_be_packed(course, tmp_path, capsys, monkeypatch, more, message):
    monkeypatch.chdir(tmp_path)
    course.write_text(course.read_text().partition("[secret]")[0])
    words = ["pack", "--for", "gradescope", "--unit", "1", "--output", "a.zip"]
    assert main([*words, "--course", str(course), *more]) == 2
    assert message in capsys.readouterr().err
    assert not Path("a.zip").exists()


def test_wheels_of_a_wheelhouse_go_in(course, tmp_path):
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "numpy-9-py3-none-any.whl").write_bytes(b"PK")
    _, folder = packed(course, tmp_path, "gradescope", "--wheelhouse", str(tmp_path / "house"))
    assert (folder / "wheels" / "numpy-9-py3-none-any.whl").read_bytes() == b"PK"


def test_hidden_checks_are_not_given_to_students(course, tmp_path, capsys):
    for platform in ("otter", "nbgrader"):
        words = ["pack", "--for", platform, "--unit", "1", "--output", str(tmp_path / "a.zip")]
        assert main([*words, "--course", str(course), "--hidden"]) == 2
        assert "students get the archive's files" in capsys.readouterr().err
