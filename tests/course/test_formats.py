"""Every format is valid at every moment, whatever texts a student's program made up."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from minideconv.course import formats
from minideconv.course.formats import FORMATS, github, write
from minideconv.course.formats.prairielearn import MOST
from minideconv.course.results import OutcomeResult, Result, clean, number
from minideconv.testing.checking.failure import Failure

pytestmark = pytest.mark.cpu

SCHEMAS = Path(formats.__file__).parent / "schemas"
HOSTILE = [
    "plain",
    "",
    "\"quotes\" and \\backslashes\\ 'single'",
    "lines\nof\r\ntext\rand\ttabs",
    "]]> <![CDATA[ <script>alert(1)</script> &amp; <!-- -->",
    "\x00\x01\x1b[2J\x7f\x9b control",
    "\ud800 half a pair \udfff",
    "\u202egnal txet\u2066 \ufeff \u2028 \u2029",
    "```\n# heading\n``````\n| a | b |\n[x](javascript:alert(1))",
    "::error file=a::b\n::set-env name=PATH::x %0A %25",
    "END\n$(touch /tmp/x) `id`\n'; DROP TABLE",
    "é 漢字 🙂 " * 20,
    "x" * 20_000,
]


def failed(name: str, text: str, hidden: bool = False, **more: object) -> OutcomeResult:
    failure = Failure(
        name.partition("/")[0], "family", text, text, text, text, text, text, text, (text, text)
    )
    return replace(OutcomeResult(name, 2.0, hidden).failed(failure), tried=3, **more)


def result(text: str = "kernel flipped", **more: object) -> Result:
    outcomes = (
        OutcomeResult("conv2d/unit-stride", 3.0, status="passed", tried=25, seconds=0.25),
        failed("conv2d/padding", text, got=np.array([[1.0, 2.0]]), want=np.array([[1.0, 0.5]])),
        OutcomeResult("conv2d/groups", 1 / 3, title="conv2d ended its process"),
        failed("conv2d/padding", text, hidden=True),
    )
    versions = {"minideconv": "0.1", "numpy": "2", "python": "3"}
    given = {"state": "done", "seconds": 1.5, "versions": versions, **more}
    return Result("01_conv", "Convolution", outcomes, **given)


def moments(text: str) -> dict[str, Result]:
    """What a file may hold while grading goes on, and at its end."""
    done = result(text)
    return {
        "before the first check": replace(
            done, state="running", outcomes=tuple(OutcomeResult(o.name, o.max_points, o.hidden)
                                                  for o in done.outcomes), seconds=0.0,
        ),
        "underway": replace(done, state="running", student=text),
        "done": done,
        "unusable": replace(done, problems=(clean(text) or "-",)),
        "fault": done.broken(text),
        "nothing": Result("", "", ()).broken(text),
    }  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("name", FORMATS)
def test_every_moment_is_valid(name, text):
    for found in moments(text).values():
        content = write(found, name).decode("utf-8")
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e]", content)
        check = {"junit": check_junit, "github": check_github, "nbgrader": check_nbgrader}
        check.get(name, check_schema)(name, content, found)


def check_schema(name: str, content: str, found: Result) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="not installed (group oracles)")
    schema = json.loads((SCHEMAS / f"{'result' if name == 'json' else name}.json").read_text())
    document = json.loads(content)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)
    if name == "prairielearn":
        assert len(content.encode()) < 1_000_000
        assert document["gradable"] is not (found.state == "fault" or bool(found.problems))


def check_junit(name: str, content: str, found: Result) -> None:
    root = ElementTree.fromstring(content.encode("utf-8"))
    assert root.tag == "testsuites"
    (suite,) = root
    cases = suite.findall("testcase")
    for element in (root, suite):
        assert int(element.get("tests")) == len(cases)
        assert int(element.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(element.get("errors")) == len(suite.findall("testcase/error"))
        assert int(element.get("skipped")) == len(suite.findall("testcase/skipped"))
        assert float(element.get("time")) >= 0
    for case in cases:
        assert case.get("name")
        assert len(case) <= 1
        assert all("\n" not in value for value in case.attrib.values())


def check_github(name: str, content: str, found: Result) -> None:
    assert len(content.encode()) < 1 << 20
    outside = re.sub(r"(?ms)^(`{3,})text$.*?^\1$", "", content)
    # No markup of the student's is left outside of fenced blocks.
    assert "<script" not in outside
    assert "](" not in outside
    assert outside.count("<") == 1  # our own comment at the end
    assert not re.search(r"(?m)^# ", outside)
    for line in github.annotation_lines(found, "a,b:c\n::x.py"):
        assert re.fullmatch(r"::(error|warning|notice) [^\n]*", line)
        properties = line[2:].partition("::")[0]
        assert "%0A%3A%3Ax.py" in properties or "file" not in properties
    assert len(github.annotation_lines(found, "conv.py")) <= 10


def check_nbgrader(name: str, content: str, found: Result) -> None:
    last = content.splitlines()[-1]
    assert 0 <= float(last) <= found.max_points
    assert float(last) == number(found.points)


@pytest.mark.parametrize("name", FORMATS)
def test_a_grader_that_failed_gives_no_points_and_no_blame(name):
    content = write(result().broken("OSError: no space"), name).decode()
    assert "no space" in content
    assert "kernel flipped" not in content
    document = json.loads(content) if content.startswith("{") else {}
    assert document.get("score", 0) == 0
    assert document.get("points", 0) == 0
    if name == "junit":
        assert "<failure" not in content
        assert 'errors="1"' in content


@pytest.mark.parametrize("name", [n for n in FORMATS if n != "json"])
def test_hidden_cases_are_not_shown(name):
    outcome = replace(
        failed("conv2d/padding", "kernel flipped", hidden=True), call="conv2d(x=[7])",
        entry="y[0] is 1, must be 2", replay="conv2d x=7",
    )  # fmt: skip
    found = replace(result(), outcomes=(outcome,))
    content = write(found, name).decode()
    if name == "github":
        content += "\n".join(github.annotation_lines(found, "conv.py"))
    assert "kernel flipped" in content
    for secret in ("x=[7]", "must be 2", "x=7"):
        assert secret not in content
    assert "x=[7]" in write(found, "json").decode()


def test_gradescope_golden():
    document = json.loads(write(result(), "gradescope"))
    assert [t["score"] for t in document["tests"]] == [3, 0, 0, 0]
    assert [t["max_score"] for t in document["tests"]] == [3, 2, 0.3333, 2]
    assert [t["visibility"] for t in document["tests"]] == ["visible"] * 3 + ["after_published"]
    assert document["execution_time"] == 1.5
    assert isinstance(document["execution_time"], float)
    assert document["tests"][1]["tags"] == ["kernel flipped", "kernel flipped"]
    assert document["tests"][2]["output"] == "Not run: conv2d ended its process."
    assert "score" not in document


def test_prairielearn_golden():
    document = json.loads(write(result(), "prairielearn"))
    assert document["score"] == round(3 / (3 + 2 + 1 / 3 + 2), 6)
    assert all({"points", "max_points"} <= test.keys() for test in document["tests"])
    assert [("images" in test) for test in document["tests"]] == [False, True, False, False]


def test_prairielearn_stays_below_a_megabyte():
    many = tuple(failed(f"conv2d/{n}", "🙂" * 4000) for n in range(400))
    content = write(replace(result(), outcomes=many), "prairielearn")
    assert len(content) <= MOST
    assert len(json.loads(content)["tests"]) == 400


def test_otter_has_a_test_for_each_question():
    document = json.loads(write(result(), "otter"))
    assert [t["name"] for t in document["tests"]] == ["Public Tests", "conv2d"]
    assert "hidden cases" not in document["tests"][0]["output"]
    assert document["tests"][1]["score"] == 3
    assert document["tests"][1]["max_score"] == number(7 + 1 / 3)


def test_nbgrader_golden():
    assert write(result(), "nbgrader").decode().splitlines()[:5] == [
        "minideconv.course: 01_conv",
        "3 of 7.3333 points.",
        "",
        "ok    conv2d/unit-stride",
        "WRONG conv2d/padding",
    ]


def test_junit_golden():
    root = ElementTree.fromstring(write(result(), "junit"))
    failure = root.find("testsuite/testcase/failure")
    assert failure.get("message") == "kernel flipped"
    assert failure.text.startswith("conv2d: kernel flipped.\n")
    assert root.find("testsuite/properties/property[@name='points']").get("value") == "3"


def test_github_golden():
    lines = write(result(), "github").decode().splitlines()
    assert lines[0] == "## Convolution"
    assert "| ✓ | conv2d/unit-stride | 3 / 3 |" in lines
    error, hidden, notice = github.annotation_lines(result(), "conv.py")
    assert error.startswith("::error file=conv.py,title=conv2d/padding::conv2d: kernel flipped.%0A")
    assert "title=conv2d/padding (hidden cases)::" in hidden
    assert notice == "::notice title=points::3 of 7.3333 points"


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (3.0, "3"), (0.1 + 0.2, "0.3"), (2 / 3, "0.6667")]
)
def test_points_are_written_plainly(value, shown):
    assert str(number(value)) == shown
