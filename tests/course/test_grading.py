"""Points, partial credit, hidden cases, hostile submissions: each a result and a sentence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import small_course

from minideconv.course import formats
from minideconv.course.checker import right_call
from minideconv.course.command import main
from minideconv.course.grading import grade, outcome_names, planned
from minideconv.course.opening import open_worker
from minideconv.course.places import units_of
from minideconv.course.settings import hidden_seed, public_text, read_course
from minideconv.course.unit import read_unit
from minideconv.errors import DataError, UsageError
from minideconv.testing.checking.run import Checker
from minideconv.testing.operations import OPERATIONS

pytestmark = pytest.mark.cpu

SCHEMA = json.loads(
    (Path(formats.__file__).parent / "schemas" / "gradescope.json").read_text(encoding="utf-8")
)


def graded(course, tmp_path, source, **options):
    settings = read_course(course, backend=options.pop("backend", None))
    call = options.pop("call", 20.0)  # seconds, on a machine that has other work as well
    settings = replace(settings, limits=replace(settings.limits, call=call))
    folder = tmp_path / "submission"
    folder.mkdir(exist_ok=True)
    (folder / "conv.py").write_text(source, encoding="utf-8")
    unit = units_of(course)["01_conv"]
    seen = []
    found = grade(unit, folder, settings, open_worker, report=seen.append, **options)
    assert seen[0].state == "running"
    assert all(o.status == "not run" for o in seen[0].outcomes)
    assert seen[-1] == found
    assert all(r.max_points == found.max_points for r in seen)
    return found


def names(result, status):
    return [o.name for o in result.outcomes if o.status == status and not o.hidden]


# -----------------------------------------------------------------------------------------------
# Points


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_right_file_has_all_points(course, tmp_path, backend):
    if backend == "torch":
        pytest.importorskip("torch")
    source = small_course.NUMPY if backend == "numpy" else small_course.TORCH
    found = graded(course, tmp_path, source, backend=backend, hidden=backend == "numpy")
    assert found.passed, found.failures()
    assert found.points == found.max_points == small_course.total()
    assert found.headline() == f"{small_course.total()} of {small_course.total()} points."


def test_the_names_of_the_checks_are_those_of_a_run():
    for name, operation in OPERATIONS.items():
        run = list(Checker(operation, right_call(operation), examples=3).run())
        assert all(o.passed for o in run)
        assert tuple(o.name for o in run) == outcome_names(name)


def test_partial_credit_follows_the_kinds_of_geometry(course, tmp_path):
    first = "# BEGIN SOLUTION\n    p = padded"
    wrong = small_course.NUMPY.replace(first, "dilation = (1, 1)\n    p = padded", 1)
    assert wrong != small_course.NUMPY
    found = graded(course, tmp_path, wrong, hidden=True)
    assert "conv2d/dilation" in names(found, "failed")
    assert {"conv2d/unit-stride", "conv2d/padding", "conv2d/stride-exact"} <= {
        *names(found, "passed")
    }
    by_name = {(o.name, o.hidden): o for o in found.outcomes}
    assert by_name["conv2d/unit-stride", False].points == 3 * 0.75
    assert by_name["conv2d/unit-stride", True].points == 3 * 0.25
    assert by_name["conv2d_backward/dilation", False].points == 0.5 * 0.75
    assert by_name["conv2d/float32", False].status == "not run"
    assert 3 + 3 + 5 <= found.points <= small_course.total() - 1 - 4  # a family, the promises
    assert "conv2d(x=" in by_name["conv2d/dilation", False].text()


def test_the_message_uses_the_students_names(course, tmp_path):
    source = small_course.FLIPPED.replace("def conv2d(x, w,", "def conv2d(image, w,").replace(
        '"""Write this: y (N, K, H\', W\')."""', "x = image"
    )
    found = graded(course, tmp_path, source)
    assert found.failures()[0].text().startswith("conv2d: kernel flipped.")
    assert "conv2d(image=[[[[1" in found.failures()[0].text()


def test_a_skeleton_has_no_points(course, tmp_path):
    source = re.sub(
        r"(?s)( *)# BEGIN SOLUTION.*?# END SOLUTION",
        r"\1raise NotImplementedError('write this part')",
        small_course.NUMPY,
    )
    found = graded(course, tmp_path, source, hidden=True)
    assert found.points == 0
    assert not found.failures()
    said = {"conv2d is not written yet", "conv2d_backward is not written yet"}
    assert {o.title for o in found.outcomes} == said


def test_what_a_function_needs_may_not_be_written(course, tmp_path):
    """The rest of the file's checks are tried all the same."""
    part = "p = np.zeros((*x.shape[:2], x.shape[2] + 2 * ph, x.shape[3] + 2 * pw), x.dtype)"
    assert part in small_course.NUMPY
    source = small_course.NUMPY.replace(
        part, f"if ph + pw:\n        raise NotImplementedError('write this part')\n    {part}"
    )
    found = graded(course, tmp_path, source)
    assert "conv2d/unit-stride" in names(found, "passed")
    failures = {o.name: o for o in found.failures()}
    assert failures["conv2d/padding"].kind == "unwritten"
    assert failures["conv2d/padding"].text() == ("conv2d needs padded, which is not written yet.")


def test_a_result_is_the_same_at_every_run(course, tmp_path):
    def told(result):
        return replace(
            result, seconds=0, outcomes=tuple(replace(o, seconds=0) for o in result.outcomes)
        )

    first, second = (graded(course, tmp_path, small_course.FLIPPED, hidden=True) for _ in range(2))
    assert told(first) == told(second)


def test_hidden_seeds_are_of_the_term_and_in_no_file(course, tmp_path):
    settings = read_course(course)
    seeds = {
        hidden_seed(settings, "conv2d"),
        hidden_seed(settings, "conv2d_backward"),
        hidden_seed(replace(settings, term="2027"), "conv2d"),
        hidden_seed(replace(settings, secret="another"), "conv2d"),
    }
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    found = graded(course, tmp_path, small_course.FLIPPED, hidden=True)
    texts = [formats.write(found, name).decode() for name in formats.FORMATS]
    texts += [repr(found), repr(settings)]
    for text in texts:
        assert str(hidden_seed(settings, "conv2d")) not in text
        assert settings.secret not in text
    cases = {(o.name, o.replay) for o in found.outcomes if o.status == "failed"}
    assert len(cases) >= 6
    with pytest.raises(UsageError, match="hidden checks need a secret"):
        hidden_seed(replace(settings, secret=""), "conv2d")


def test_an_answer_that_knows_the_visible_cases_fails_the_hidden_ones(course, tmp_path):
    """All visible cases are public; a table of their results earns the visible points alone."""
    settings = read_course(course)
    operation = OPERATIONS["conv2d"]
    lines = ["import numpy as np", "TABLE = {}", "def key(*a): return repr([None if i is None else"
             " (i.shape, i.tolist()) for i in a])"]  # fmt: skip
    checker = Checker(operation, right_call(operation), examples=settings.examples)
    for cases in checker.cases().values():
        for case in cases:
            arrays, given = operation.call_arguments(case)
            y = operation.expected(case)["y"].value
            shown = [None if a is None else (a.shape, a.tolist()) for a in arrays.values()]
            lines.append(f"TABLE[repr({shown!r}) + {str(given)!r}] = {y.tolist()!r}")
    lines.append("def conv2d(x, w, b=None, **s):")
    lines.append("    return np.array(TABLE[key(x, w, b) + str(s)], float)")
    found = graded(course, tmp_path, "\n".join(lines), hidden=True)
    visible = [o for o in found.outcomes if o.operation == "conv2d" and not o.hidden]
    hidden = [o for o in found.outcomes if o.operation == "conv2d" and o.hidden]
    assert sum(o.status == "passed" for o in visible) >= 6
    assert not any(o.status == "passed" for o in hidden)


# -----------------------------------------------------------------------------------------------
# Hostile submissions

CONV = "def conv2d(x, w, b=None, **settings):\n    "
HOSTILE = {
    "hang": (CONV + "while True: pass", "did not return within 1 s"),
    "hang at import": ("while True: pass", "did not return within 20 s"),
    "exit": (CONV + "import os; os._exit(0)", "ended|exit"),
    "exit at import": ("import sys; sys.exit(0)", "exit"),
    "crash": (CONV + "import os; os.abort()", "crash|ended|signal"),
    "endless print": (CONV + "\n    while True: print('x' * 1000)", "print"),
    "huge allocation": (CONV + "import numpy; return numpy.ones(10**12)", "memory|Memory"),
    # Sixteen of them; what has no end is tried with the worker's own tests.
    "processes": (
        CONV + "import os, time\n    for _ in range(4): os.fork()\n    time.sleep(9)",
        "process",
    ),
    "syntax error": ("def conv2d(x:\n", "line 1"),
    "no function": ("x = 1\n", "conv2d"),
    "recursion": (CONV + "return conv2d(x, w)", "Recursion"),
    "raises its own": (CONV + "raise type('\\x1b[2J]]>', (BaseException,), {})", "raised"),
    "forbidden import": ("import minideconv\n" + CONV + "return 1", "minideconv"),
    "hidden import": (CONV + "return __import__('minideconv').ops.conv2d(x, w)", "minideconv"),
    "returns itself": (CONV + "return conv2d", "must"),
    "not text": (b"\xff\xfe\x00d\x00e".decode("latin-1"), "."),
    "a tower of brackets": ("x = " + "(" * 5000 + ")" * 5000, "."),
    "now and then": (
        "import random\n" + CONV + "import numpy\n    return numpy.zeros(random.randrange(99))",
        ".",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_a_result_and_a_sentence(course, tmp_path, name):
    jsonschema = pytest.importorskip("jsonschema", reason="not installed (group oracles)")
    source, words = HOSTILE[name]
    begin = time.monotonic()
    found = graded(course, tmp_path, source, hidden=True, call=1.0)
    assert time.monotonic() - begin < 60
    assert found.state == "done", found.faults
    assert found.points == 0
    assert found.failures()
    text = "\n".join([*found.problems, *(o.text() for o in found.failures())])
    assert re.search(words, text), text
    assert "Traceback" not in text
    for each in formats.FORMATS:
        content = formats.write(found, each).decode()
        assert not re.search(r"[\x00-\x08\x0b-\x1f]", content)
        if each == "gradescope":
            jsonschema.validate(json.loads(content), SCHEMA)


def test_what_hangs_in_one_kind_of_geometry_has_the_points_of_the_others(course, tmp_path):
    source = small_course.NUMPY.replace(
        "p = padded(x, padding)", "p = padded(x, padding)\n    while dilation != (1, 1): pass", 1
    )
    found = graded(course, tmp_path, source, call=1.0)
    assert "conv2d/unit-stride" in names(found, "passed")
    assert "conv2d/dilation" in names(found, "failed")
    failure = next(o for o in found.failures() if o.name == "conv2d/dilation")
    assert failure.kind == "time"
    assert "dilation=" in failure.call  # the case that hangs is shown
    assert found.points >= 3 + 3 + 5


def test_a_unit_that_takes_too_long_ends_with_what_it_has(course, tmp_path):
    settings = replace(read_course(course), seconds=4.0, examples=40)
    file = tmp_path / "conv.py"
    file.write_text(
        small_course.NUMPY.replace("y = 0\n", "y = 0\n    import time; time.sleep(0.03)\n", 1)
    )
    begin = time.monotonic()
    found = grade(units_of(course)["01_conv"], file, settings, open_worker)
    assert time.monotonic() - begin < 8
    assert found.state == "done"
    assert 0 < found.points < found.max_points
    assert any("took too long altogether" in o.title for o in found.outcomes)


def test_a_fault_of_the_grader_gives_no_points(course, tmp_path, monkeypatch):
    calls = []

    def breaks(self, *args):
        calls.append(args)
        if len(calls) > 30:
            raise ZeroDivisionError("a bug of the kit")
        return expected(self, *args)

    expected = type(OPERATIONS["conv2d"]).expected
    monkeypatch.setattr(type(OPERATIONS["conv2d"]), "expected", breaks)
    found = graded(course, tmp_path, small_course.NUMPY)
    assert found.state == "fault"
    assert found.points == 0
    assert not found.failures()
    assert "ZeroDivisionError: a bug of the kit" in found.headline()
    assert "your code was not judged" in found.headline()


# -----------------------------------------------------------------------------------------------
# The command


def command(course, tmp_path, *more):
    return main(
        ["grade", *map(str, more), "--course", str(course), "--output", str(tmp_path / "out.json")]
    )


def test_what_cannot_be_graded_is_said_before_any_code_runs(course, tmp_path, capsys):
    folder = tmp_path / "handed"
    folder.mkdir()
    (folder / "conv_1.py").write_text("")
    arguments = [folder, "--unit", "1", "--format"]
    assert command(course, tmp_path, *arguments, "prairielearn") == 0
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["gradable"] is False
    assert document["format_errors"] == ["There is no file conv.py; what was handed in: conv_1.py."]
    (folder / "conv.py").symlink_to("/etc/passwd")
    assert command(course, tmp_path, *arguments, "gradescope") == 0
    assert "conv.py is a link" in json.loads((tmp_path / "out.json").read_text())["output"]
    (folder / "conv.py").unlink()
    (folder / "conv.py").write_bytes(b"#" * (1 << 21))
    assert command(course, tmp_path, *arguments, "gradescope") == 0
    assert "2097152 bytes" in json.loads((tmp_path / "out.json").read_text())["output"]


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_wrong_course_is_a_fault_of_the_grader(course, tmp_path, name, capsys):
    (tmp_path / "conv.py").write_text(small_course.NUMPY)
    course.write_text("examples = -1\n")
    assert command(course, tmp_path, tmp_path / "conv.py", "--format", name) == 3
    assert "must be a number from 1 to 1000, not -1" in capsys.readouterr().err
    text = (tmp_path / "out.json").read_text()
    assert "must be a number from 1" in text.replace("&#", "")
    assert ("fault" if name == "json" else "The grader failed") in text


def test_a_file_of_others_is_not_written_over(course, tmp_path, capsys):
    (tmp_path / "conv.py").write_text(small_course.NUMPY)
    (tmp_path / "out.json").write_text("mine")
    assert command(course, tmp_path, tmp_path / "conv.py", "--format", "json") == 2
    assert (tmp_path / "out.json").read_text() == "mine"
    own = ["grade", str(tmp_path / "conv.py"), "--format", "json"]
    assert main([*own, "--output", str(tmp_path / "conv.py")]) == 2
    assert (tmp_path / "conv.py").read_text() == small_course.NUMPY


def test_annotations_are_all_that_is_printed_for_github(course, tmp_path, capsys):
    (tmp_path / "conv.py").write_text(CONV + "raise ValueError('\\n::set-env name=X::y')")
    assert command(course, tmp_path, tmp_path / "conv.py", "--format", "github") == 0
    lines = capsys.readouterr().out.splitlines()
    assert 2 <= len(lines) <= 10
    assert all(line.startswith(("::error file=conv.py,", "::notice ")) for line in lines)


def test_the_result_is_whole_whenever_grading_is_killed(course, tmp_path):
    jsonschema = pytest.importorskip("jsonschema", reason="not installed (group oracles)")
    (tmp_path / "conv.py").write_text(
        small_course.NUMPY.replace("y = 0\n", "y = 0\n    import time; time.sleep(0.01)\n", 1)
    )
    output = tmp_path / "out.json"
    words = [str(tmp_path / "conv.py"), "--format", "gradescope", "--output", str(output)]
    program = subprocess.Popen(
        [sys.executable, "-m", "minideconv.course", "grade", *words, "--course", str(course)],
        stdout=subprocess.DEVNULL,
    )
    seen = set()
    try:
        while program.poll() is None:
            if output.exists():
                document = json.loads(output.read_text())
                jsonschema.validate(document, SCHEMA)
                seen.add(document["output"].split("\n")[0])
                if len(seen) == 4:
                    program.kill()
    finally:
        program.kill()
        program.wait()
    assert any(line.startswith("Grading has not ended") for line in seen)
    jsonschema.validate(json.loads(output.read_text()), SCHEMA)


# -----------------------------------------------------------------------------------------------
# course.toml and unit.toml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "x is no field; there are "),
        ("examples = true", "examples must be a number"),
        ("backend = 'jax'", "backend must be one of numpy, torch"),
        ("forbid = 'os'", "forbid must be a list"),
        ("[hidden]\nshare = 2", "hidden.share must be a number from 0 to 1"),
        ("[hidden]\nvisibility = 'never'", "must be one of hidden, after_due_date"),
        ("[limits]\nx = 1", "table limits: x is no field"),
        ("[limits]\ncall = -1", "limit call is -1"),
        ("[weights]\nconv2d = 1", "names no outcome"),
        ("[weights]\n'conv2d/x' = -1", "must be from 0 to 1000"),
        ("[secret]\nhidden = ''", "must be a text that is not empty"),
        ("[secret]\nother = 'x'", "secret must be a table with"),
        ("= 3", "is no TOML file"),
    ],
)
def test_a_wrong_course_file(tmp_path, text, message):
    file = tmp_path / "course.toml"
    file.write_text(text)
    with pytest.raises(DataError, match=re.escape(message)):
        read_course(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "title must be a text"),
        ("title = 'x'\nfile = '../x.py'\noperations = ['conv2d']", "file must be a name"),
        ("title = 'x'\nfile = 'x.py'\noperations = []", "operations must be a list"),
        ("titel = 'x'", "titel is no field"),
    ],
)
def test_a_wrong_unit_file(tmp_path, text, message):
    (tmp_path / "unit.toml").write_text(text)
    with pytest.raises(DataError, match=message):
        read_unit(tmp_path)


def test_a_weight_of_no_check_is_refused(course):
    unit = units_of(course)["01_conv"]
    settings = read_course(course)
    for name in ("conv2d/no-such", "max_pool2d/*"):
        with pytest.raises(DataError, match="is no check of this unit"):
            planned(replace(unit, weights={name: 1.0}), settings, hidden=False)
    with pytest.raises(DataError, match="'conv9' is no operation"):
        planned(replace(unit, operations=("conv9",)), settings, hidden=False)


def test_the_secret_is_taken_out():
    text = "title = 'x'\n[secret]\nhidden = 'abc'\n[weights]\n'a/b' = 1\n"
    assert public_text(text, "f") == "title = 'x'\n[weights]\n'a/b' = 1\n"
    for tricky in ("secret = {hidden = 'abc'}\n", "title = 'abc'\n[secret]\nhidden = 'abc'\n",
                   "secret.hidden = 'abc'\n"):  # fmt: skip
        with pytest.raises(DataError, match="table of its own"):
            public_text(tricky, "f")


def test_a_students_course_file_changes_nothing_when_it_is_graded(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("course.toml").write_text("[weights]\n'conv2d/unit-stride' = 999\n")
    Path("conv.py").write_text("x = 1")
    os.mkdir("out")
    code = main(["grade", ".", "--unit", "1", "--format", "json", "--output", "out/r.json"])
    text = Path("out/r.json").read_text()
    assert "999" not in text
    assert code in (0, 2)
