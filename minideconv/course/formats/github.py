"""GitHub Actions: a job summary in Markdown, and annotations that stand beside the file's lines.

The summary is the file that ``$GITHUB_STEP_SUMMARY`` names (1 MiB at most); annotations are lines
that a step prints (10 are shown). In both, a student's text could give orders to the platform:
Markdown and HTML in the summary, ``::set-env::`` and the like in what is printed. So texts are
fenced or escaped there, and annotations never span lines.
"""

from __future__ import annotations

import re
from html import escape

from minideconv.course.results import GRADER, OutcomeResult, Result, number

__all__ = ["annotation_lines", "write"]

MOST = 1_000_000
"""Bytes of a summary."""
MOST_ANNOTATIONS = 10


def write(result: Result) -> str:
    """Return the job summary."""
    for characters in (4000, 500, 100):
        text = _summary(result, characters)
        if len(text.encode("utf-8")) <= MOST:
            break
    return text


def _summary(result: Result, characters: int) -> str:
    parts = [f"## {_inline(result.title)}", *map(_inline, result.headline().split("\n"))]
    if result.state != "fault":
        rows = [
            f"| {_mark(o)} | {_inline(o.label)} | {number(o.points)} / {number(o.max_points)} |"
            for o in result.outcomes
        ]
        parts.append("\n".join(["| | check | points |", "|---|---|---|", *rows]))
    for outcome in result.failures():
        text = outcome.text(case=not outcome.hidden)[:characters]
        parts.append(f"### {_inline(outcome.label)}\n\n{_fenced(text)}")
    return "\n\n".join([*parts, f"<!-- {GRADER} -->"]) + "\n"


def _mark(outcome: OutcomeResult) -> str:
    return {"passed": "✓", "failed": "✗"}.get(outcome.status, "–")


def _inline(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line."""
    line = escape(" ".join(text.split()))
    return re.sub(r"([\\`*_{}\[\]()#+!|~$@:])", lambda m: f"&#{ord(m[1])};", line)


def _fenced(text: str) -> str:
    """Return a block of code whose fence is longer than any that the text holds."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def annotation_lines(result: Result, file: str) -> list[str]:
    """Return lines to print, each of which is one annotation.

    Parameters
    ----------
    result : Result
    file : str
        The student's file, relative to the repository.
    """
    if result.state == "fault":
        return [_command("warning", "", GRADER, result.headline())]
    found = [_command("error", file, "the file", problem) for problem in result.problems]
    found += [
        _command("error", file, outcome.label, outcome.text(case=not outcome.hidden))
        for outcome in result.failures()
    ]
    points = f"{number(result.points)} of {number(result.max_points)} points"
    return [*found[: MOST_ANNOTATIONS - 1], _command("notice", "", "points", points)]


def _command(kind: str, file: str, title: str, message: str) -> str:
    properties = [f"file={_property(file)}"] if file else []
    properties.append(f"title={_property(title)}")
    return f"::{kind} {','.join(properties)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
