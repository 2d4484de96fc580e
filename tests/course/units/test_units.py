"""The units of the course: solutions right, skeletons empty, handouts that run, fresh pictures."""

from __future__ import annotations

import re

import draw_units
import pytest
import sheet
import units

from minideconv.course.places import course_file
from minideconv.course.trials import Trial, attempt
from minideconv.testing.checking.calls import local_call
from minideconv.testing.checking.run import Checker
from minideconv.testing.operations import OPERATIONS

pytestmark = pytest.mark.cpu

BACKENDS = ("numpy", "torch")


def functions(modules, unit, backend):
    """The functions that a unit asks for, or classes, by the names that they have in the file."""
    asked = units.about(unit)["operations"]
    names = [name for op in asked for name in getattr(OPERATIONS[op], "called", ()) or (op,)]
    own = {name: getattr(modules[unit], name) for name in names}
    return {name: units.on_numpy(f) if backend == "torch" else f for name, f in own.items()}


def failures(name, own, examples=10):
    """What the checks of an operation find wrong, `own` being the functions of a student's file."""
    operation = OPERATIONS[name]
    outcomes = list(Checker(operation, local_call(operation, own), examples=examples).run())
    assert outcomes
    return [outcome.failure for outcome in outcomes if not outcome.passed]


def blocks(unit):
    """The Python blocks of a handout: line, mistake that it makes (or None), source."""
    text = (units.UNITS / unit / "handout.md").read_text(encoding="utf-8")
    found = re.finditer(
        r"(?:^<!-- bug: (.+?) -->\n)?^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    )
    return [(text[: match.start(2)].count("\n"), match[1], match[2]) for match in found]


def test_there_are_units():
    assert units.NAMES


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("unit", units.NAMES)
def test_solutions_are_right(unit, backend, monkeypatch):
    if backend == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed (group oracles)")
    modules = units.all_imported(backend, monkeypatch)
    own = functions(modules, unit, backend)
    for name in units.about(unit)["operations"]:
        assert not failures(name, own), name


@pytest.mark.parametrize("unit", [n for n in units.NAMES if n > "05"])
def test_classes_are_right_in_another_process_too(unit):
    """What stands for an object there has attributes and methods, but not all that objects do."""
    verdict = attempt(Trial("reference", unit, "numpy", str(course_file(None)), unit))
    assert verdict.right, verdict.text


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("unit", units.NAMES)
def test_skeletons_compile_and_say_what_is_missing(unit, backend, monkeypatch):
    if backend == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed (group oracles)")
    modules = units.all_imported("numpy", monkeypatch)
    source = (units.UNITS / unit / f"solution_{backend}.py").read_text(encoding="utf-8")
    skeleton = units.stripped(source)
    assert "SOLUTION" not in skeleton
    assert "HIDDEN" not in skeleton
    exec(compile(skeleton, unit, "exec"), vars(modules[unit]))
    own = functions(modules, unit, "numpy")
    for name in units.about(unit)["operations"]:
        found = failures(name, own, examples=1)
        assert all("NotImplementedError: write this part" in f.title for f in found)
        assert found


@pytest.mark.parametrize("unit", units.NAMES)
def test_code_of_a_handout_runs_and_each_bug_has_its_name(unit, monkeypatch):
    modules = units.all_imported("numpy", monkeypatch)
    space = {"__name__": unit}
    own, bugs = functions(modules, unit, "numpy"), []
    for line, mistake, source in blocks(unit):
        exec(compile("\n" * line + source, f"{unit}/handout.md", "exec"), space)
        if mistake is None:
            continue
        name = re.findall(r"^(?:def|class) (\w+)", source, re.MULTILINE)[-1]
        operation = "tape" if name == "Tensor" else name
        found = failures(operation, {**own, name: space[name]}, examples=25)
        bugs += [(mistake, found[0].title if found else "right")]
        space[name] = own[name]  # the next block has the right one again
    assert [said for _, said in bugs] == [mistake for mistake, _ in bugs]
    assert len(bugs) == 3


@pytest.mark.parametrize("name", draw_units.PICTURES)
def test_pictures_are_those_of_the_present_code(name):
    drawn = draw_units.PICTURES[name]().hash
    assert sheet.stored_hash(units.UNITS / name) == drawn, "run docs/_ext/draw_units.py"
    assert (units.UNITS / name).stat().st_size < 60_000


def test_every_picture_of_a_handout_is_there_and_has_words_for_who_cannot_see_it():
    shown = set()
    for unit in units.NAMES:
        text = (units.UNITS / unit / "handout.md").read_text(encoding="utf-8")
        for words, file in re.findall(r"!\[(.*?)\]\((.+?)\)", text, re.DOTALL):
            assert len(words) > 40
            shown.add(f"{unit}/{file}")
    assert shown == set(draw_units.PICTURES)


@pytest.mark.parametrize("unit", units.NAMES)
def test_a_unit_names_checks_that_there_are(unit):
    about = units.about(unit)
    assert about.keys() == {"title", "operations", "file", "weights"}
    for check, points in about["weights"].items():
        operation, family = check.split("/")
        assert operation in about["operations"]
        assert points > 0
        promises = ["float32", "arguments unchanged", "no state", "any strides"]
        if operation in OPERATIONS:
            assert family in ["*", *OPERATIONS[operation].families, *promises]
