"""Trials of the kit itself: what must earn all points, what none, and what must be named."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.course.grading import grade
from minideconv.course.opening import open_worker
from minideconv.course.places import units_of
from minideconv.course.results import Result, number
from minideconv.course.settings import read_course
from minideconv.course.student_folder import skeleton
from minideconv.course.unit import BACKENDS, Unit
from minideconv.testing.checking.calls import Call, local_call
from minideconv.testing.checking.run import Checker
from minideconv.testing.mistakes import Mistake, mistakes
from minideconv.testing.operations import OPERATIONS

__all__ = ["Trial", "Verdict", "attempt", "attempt_all", "trials"]


@dataclass(frozen=True)
class Trial:
    """One trial; plain data, so that another process can do it.

    Attributes
    ----------
    kind : {"reference", "skeleton", "mistake"}
        What is tried.
    subject : str
        A unit's name, or the number of a mistake in the bank.
    backend : str
        Whose solution.
    course : str
        The course's file.
    label : str
        For readers.
    """

    kind: str
    subject: str
    backend: str
    course: str
    label: str


@dataclass(frozen=True)
class Verdict:
    """How a trial went; `text` says what is wrong, or why it was left out."""

    trial: Trial
    right: bool
    text: str
    seconds: float


def trials(units: Sequence[Unit], course: Path) -> list[Trial]:
    """Return all trials of these units, and the mistakes in their operations."""
    found = []
    for unit in units:
        for backend in BACKENDS:
            for kind in ("reference", "skeleton"):
                label = f"{kind} {unit.name} in {backend}"
                found.append(Trial(kind, unit.name, backend, str(course), label))
    operations = {name for unit in units for name in unit.operations}
    found += [
        Trial("mistake", str(place), "", str(course), f"{m.operation}, {m.output}: {m.name}")
        for place, m in enumerate(mistakes())
        if m.operation in operations and not _elsewhere(place)
    ]
    return found


def _elsewhere(place: int) -> bool:
    """Whether a mistake is tried already: in a layer by itself, or at another one of a network."""
    mistake, before = mistakes()[place], mistakes()[:place]
    return bool(mistake.place) and any(m.name == mistake.name for m in before)


def attempt(trial: Trial) -> Verdict:
    """Do one trial."""
    begin = time.monotonic()
    try:
        right, text = _KINDS[trial.kind](trial)
    except Exception as error:
        right, text = False, f"{type(error).__name__}: {error}"
    return Verdict(trial, right, text, time.monotonic() - begin)


def attempt_all(waiting: Sequence[Trial]) -> list[Verdict]:
    """Do some trials one after the other."""
    return [attempt(trial) for trial in waiting]


def _of_unit(trial: Trial, kind: str) -> tuple[list[Result], str]:
    """Return the result of a unit's reference; or those of its skeleton, graded twice in NumPy."""
    course = Path(trial.course)
    units = units_of(course)
    unit = units[trial.subject]
    if not unit.solution(trial.backend).is_file():
        return [], f"there is no solution in {trial.backend}"
    if trial.backend == "torch" and importlib.util.find_spec("torch") is None:
        return [], "left out: PyTorch is not installed"
    settings = read_course(course, backend=trial.backend)
    # What is tried is the kit, and not how busy the machine is.
    patient = replace(settings.limits, call=60.0, load=300.0, operation=600.0)
    settings = replace(settings, seconds=600.0, limits=patient)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for other in units.values():  # a unit may build on the files of others
            with contextlib.suppress(OSError):
                (folder / other.file).write_bytes(other.solution(trial.backend).read_bytes())
        if kind != "reference":
            text = skeleton(unit, trial.backend)
            (folder / unit.file).write_text(text, encoding="utf-8")
        runs = 2 if kind == "skeleton" and trial.backend == BACKENDS[0] else 1
        return [grade(unit, folder, settings, open_worker) for _ in range(runs)], ""


def _reference(trial: Trial) -> tuple[bool, str]:
    found, note = _of_unit(trial, "reference")
    if not found:
        return note.startswith("left out"), note
    result = found[0]
    if result.passed and result.max_points > 0:
        return True, ""
    failures = [f"{o.label}: {o.title}" for o in result.failures()]
    return False, "; ".join([result.headline().replace("\n", " "), *failures[:2]])


def _skeleton(trial: Trial) -> tuple[bool, str]:
    found, note = _of_unit(trial, "skeleton")
    if not found:
        return note.startswith("left out"), note
    result = found[0]
    right = result.state == "done" and result.points == 0 and result.max_points > 0
    if not right:
        return False, f"{number(result.points)} points, state {result.state}"
    if any(_timeless(other) != _timeless(result) for other in found):
        return False, "graded again, the result is another one"
    return True, ""


def _timeless(result: Result) -> dict[str, Any]:
    outcomes = tuple(replace(o, seconds=0.0) for o in result.outcomes)
    return replace(result, outcomes=outcomes, seconds=0.0).as_json()


def _mistake(trial: Trial) -> tuple[bool, str]:
    mistake = mistakes()[int(trial.subject)]
    operation = OPERATIONS[mistake.operation]
    with np.errstate(all="ignore"):
        for outcome in Checker(operation, call_of(mistake)).run():
            if outcome.failure is not None:
                right = outcome.failure.mistakes == (mistake.name,)
                return right, "" if right else f"it is called {outcome.failure.title!r}"
    return False, "it passes every check"


def call_of(mistake: Mistake) -> Call:
    """Return a call of a wrong implementation, in this process."""
    return local_call(OPERATIONS[mistake.operation], mistake.functions())


_KINDS = {
    "reference": _reference,
    "skeleton": _skeleton,
    "mistake": _mistake,
}
