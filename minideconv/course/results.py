"""What grading a submission found: plain data, from which every format is written.

Texts may come from a student's program (what it raised, the names of its arguments). They are made
harmless here, once: see `clean`. Each format then escapes what is special to it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from minideconv.testing.checking.failure import Failure
from minideconv.testing.operations.operation import Array

__all__ = ["GRADER", "VERSION", "OutcomeResult", "Result", "clean", "number"]

GRADER = "minideconv.course"
"""Stands in every file that is written, so that an earlier one is recognised."""
VERSION = 1
"""Of the JSON form; a change that a reader would trip over raises it."""
MOST_TEXT = 4000
"""Characters of one text; platforms cut at 500, which the first lines of a message fit in."""


_TEXTS = ("kind", "title", "sentence", "entry", "call", "rule", "replay")
_STORED = ("name", "hidden", "status", "tried", *_TEXTS)


def clean(text: str, most: int = MOST_TEXT) -> str:
    r"""Return a text in which nothing moves a cursor, hides, or is no character at all.

    Control characters (but for line breaks), invisible formatting such as a change of writing
    direction, and halves of surrogate pairs become escapes. A text that is too long is cut.

    >>> clean("a\x1b[2Jb\u202ec\ud800")
    'a\\x1b[2Jb\\u202ec\\ud800'
    """
    cut = text if len(text) <= most else text[: most - 3] + "..."
    lines = cut.replace("\r\n", "\n").replace("\t", "    ")
    return "".join(c if c == "\n" or _harmless(c) else _escaped(c) for c in lines)


def _harmless(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind not in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def number(value: float) -> float | int:
    """Return points without a needless fraction: at most four places, whole numbers as such.

    >>> number(2.0), number(1 / 3)
    (2, 0.3333)
    """
    rounded = round(value, 4)
    return int(rounded) if rounded == int(rounded) else rounded


@dataclass(frozen=True)
class OutcomeResult:
    """One check of a unit: what it is worth, and how it ended.

    Attributes
    ----------
    name : str
        ``"conv2d/stride-exact"``: the operation and the family or promise.
    max_points : float
        What it is worth (>= 0).
    hidden : bool
        Whether its cases are drawn from the hidden seed.
    status : {"passed", "failed", "not run"}
        A check is not run where an earlier failure makes it pointless, or grading has not come to
        it yet; it earns nothing.
    tried : int
        Cases that were called.
    seconds : float
        How long it took.
    kind, title, sentence, entry, call, rule, replay : str
        As in `Failure`; empty for a check that passed. Of one that was not run, `title` says why.
    mistakes : tuple of str
        Names of the likely mistakes.
    got, want : ndarray, optional
        The wrong output and the right one of the smallest failing call, to be drawn.
    """

    name: str
    max_points: float
    hidden: bool = False
    status: str = "not run"
    tried: int = 0
    seconds: float = 0.0
    kind: str = ""
    title: str = ""
    sentence: str = ""
    entry: str = ""
    call: str = ""
    rule: str = ""
    replay: str = ""
    mistakes: tuple[str, ...] = ()
    got: Array | None = field(default=None, repr=False, compare=False)
    want: Array | None = field(default=None, repr=False, compare=False)

    @property
    def operation(self) -> str:
        """The operation's name."""
        return self.name.partition("/")[0]

    @property
    def family(self) -> str:
        """The family or promise."""
        return self.name.partition("/")[2]

    @property
    def points(self) -> float:
        """What it earned: all or nothing; partial credit comes from the number of checks."""
        return self.max_points if self.status == "passed" else 0.0

    @property
    def label(self) -> str:
        """The name as it is shown; the hidden check of a family has the same name."""
        return f"{self.name} (hidden cases)" if self.hidden else self.name

    def failed(self, failure: Failure) -> OutcomeResult:
        """Return it as failed, with the texts of a failure, made harmless."""
        given: dict[str, Any] = {name: clean(str(getattr(failure, name))) for name in _TEXTS}
        given["mistakes"] = tuple(clean(name, 200) for name in failure.mistakes)
        given |= {name: failure.arrays.get(name) for name in ("got", "want")}
        return replace(self, status="failed", **given)

    def text(self, case: bool = True) -> str:
        """Return the message to the student.

        Parameters
        ----------
        case : bool
            Whether the failing call may be shown. That of a hidden check is shown to teachers only:
            its cases are used for a whole term.
        """
        if self.status == "passed":
            return f"{self.tried} cases are right."
        if self.status == "not run":
            return f"Not run: {self.title}." if self.title else "Not run."
        shown = ("entry", "call", "rule", "replay") if case else ("rule",)
        failure = Failure(
            self.operation, self.family, self.kind, self.title, self.sentence,
            **{name: getattr(self, name) for name in shown},
        )  # fmt: skip
        return failure.text()


@dataclass(frozen=True)
class Result:
    """What is known of a submission, at any moment from before its first check.

    Attributes
    ----------
    unit, title : str
        The unit's name, ``"01_conv"``, and its title.
    outcomes : tuple of OutcomeResult
        All checks, also those that are not run yet.
    state : {"running", "done", "fault"}
        ``"fault"`` if the grader failed; nothing is then said about the student.
    problems : tuple of str
        What is wrong with the submission as a whole, so that no check could be run: no such file,
        a syntax error.
    faults : tuple of str
        What was wrong with the grader.
    student : str
        Who handed it in, where that is known.
    seed : int
        Of the visible checks. The hidden one is told to nobody.
    seconds : float
        How long grading took.
    versions : mapping of str to str
        Of what graded.
    hidden_visibility : str
        Gradescope's word for when students see hidden checks.
    """

    unit: str
    title: str
    outcomes: tuple[OutcomeResult, ...]
    state: str = "running"
    problems: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    student: str = ""
    seed: int = 0
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    hidden_visibility: str = "after_published"

    @property
    def points(self) -> float:
        """The points so far."""
        return sum(o.points for o in self.outcomes)

    @property
    def max_points(self) -> float:
        """The points that can be had."""
        return sum(o.max_points for o in self.outcomes)

    @property
    def passed(self) -> bool:
        """Whether every check was run and passed."""
        return self.state == "done" and all(o.status == "passed" for o in self.outcomes)

    def failures(self) -> tuple[OutcomeResult, ...]:
        """Return the checks that failed."""
        return tuple(o for o in self.outcomes if o.status == "failed")

    def with_outcomes(self, found: Iterable[OutcomeResult]) -> Result:
        """Return a result in which these checks stand at the places of those of their names."""
        new = {(o.name, o.hidden): o for o in found}
        outcomes = tuple(new.get((o.name, o.hidden), o) for o in self.outcomes)
        return replace(self, outcomes=outcomes)

    def broken(self, sentence: str) -> Result:
        """Return the result of a grader that failed: no check counts as run."""
        outcomes = tuple(
            OutcomeResult(o.name, o.max_points, o.hidden, title="the grader failed")
            for o in self.outcomes
        )
        return replace(self, state="fault", faults=(clean(sentence),), outcomes=outcomes)

    def headline(self) -> str:
        """Return what stands above the single checks: problems, faults, points."""
        if self.state == "fault":
            lines = ["The grader failed; your code was not judged. Please tell your teacher:"]
            return "\n".join([*lines, *self.faults])
        lines = list(self.problems)
        if self.state == "running":
            done = sum(o.status != "not run" for o in self.outcomes)
            lines.append(f"Grading has not ended: {done} of {len(self.outcomes)} checks were run.")
        lines.append(f"{number(self.points)} of {number(self.max_points)} points.")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the result in the form that ``formats/schemas/result.json`` describes."""
        outcomes = [
            {
                **{name: getattr(o, name) for name in _STORED},
                "mistakes": list(o.mistakes),
                "points": number(o.points),
                "max_points": number(o.max_points),
                "seconds": round(o.seconds, 3),
            }
            for o in self.outcomes
        ]
        return {
            "grader": GRADER,
            "version": VERSION,
            "unit": self.unit,
            "title": self.title,
            "student": clean(self.student, 200),
            "state": self.state,
            "points": number(self.points),
            "max_points": number(self.max_points),
            "problems": list(self.problems),
            "faults": list(self.faults),
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
            "versions": dict(self.versions),
            "outcomes": outcomes,
        }
