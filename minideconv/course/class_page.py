"""The page about a class: a self-contained HTML file.

Names of students, and what their programs raised, are anybody's text: all is escaped.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minideconv.course.results import GRADER, clean, number
from minideconv.course.stored import Submission
from minideconv.visualize.html import Html, joined, read_templates

__all__ = ["page"]

_MARKS = {"passed": ("good", "✓"), "failed": ("bad", "✗"), "not run": ("none", "·")}


def page(submissions: Sequence[Submission], anonymous: bool = False) -> str:
    """Return the page.

    Parameters
    ----------
    submissions : sequence of Submission
        In any order, of one unit or several.
    anonymous : bool
        Numbers in the place of names. Who has which number follows from no order of names.
    """
    templates = read_templates(Path(__file__).with_name("class_page.html"))
    if anonymous:
        submissions = _numbered(submissions)
    units = sorted({s.result["unit"] for s in submissions})
    sections = [
        _unit(templates, unit, [s for s in submissions if s.result["unit"] == unit])
        for unit in units
    ]
    count = len({s.student for s in submissions})
    return templates["page"].fill(
        {"grader": GRADER, "students": count, "sections": joined(sections)}
    )


def _numbered(submissions: Sequence[Submission]) -> list[Submission]:
    """Replace names by numbers, in the order of a hash of all results, which says nothing."""
    salt = hashlib.sha256(repr(sorted(repr(s) for s in submissions)).encode("utf-8", "replace"))
    names = sorted(
        {s.student for s in submissions},
        key=lambda name: hashlib.sha256(
            salt.digest() + name.encode("utf-8", "surrogatepass")
        ).digest(),
    )
    numbers = {name: f"student {place}" for place, name in enumerate(names, 1)}
    return [replace(s, student=numbers[s.student]) for s in submissions]


def _unit(templates: Any, unit: str, submissions: Sequence[Submission]) -> Html:
    judged = [s for s in submissions if s.result["state"] == "done"]
    judged.sort(key=lambda s: (-s.result["points"], s.student))
    names = list(dict.fromkeys(_label(o) for s in judged for o in s.outcomes))
    most = max((s.result["max_points"] for s in judged), default=0)
    mean = sum(s.result["points"] for s in judged) / len(judged) if judged else 0.0
    why = {"fault": "the grader failed", "running": "grading has not ended"}
    left_out = [
        f"{clean(s.student, 80)} ({why[s.result['state']]})"
        for s in submissions
        if s.result["state"] != "done"
    ]
    return templates["unit"].fill(
        {
            "name": clean(unit, 80),
            "title": clean(submissions[0].result["title"], 200),
            "count": len(judged),
            "mean": f"{mean:.1f}",
            "most": number(most),
            "left_out": f"Left out: {', '.join(left_out)}." if left_out else "",
            "mistakes": _mistakes(templates, judged),
            "heads": joined(templates["head"].fill({"name": name}) for name in names),
            "rows": joined(_row(templates, s, names) for s in judged),
            "shares": joined(_share(templates, judged, name) for name in names),
        }
    )


def _label(outcome: dict[str, Any]) -> str:
    return clean(f"{outcome['name']}{' (hidden)' if outcome['hidden'] else ''}", 120)


def _mistakes(templates: Any, submissions: Sequence[Submission]) -> Html:
    """Return a row for each mistake, the commonest first; a student counts once for each."""
    counts: Counter[tuple[str, str]] = Counter()
    who: dict[tuple[str, str], list[str]] = {}
    for submission in submissions:
        made = set()
        for outcome in submission.outcomes:
            if outcome["status"] == "failed":
                operation = outcome["name"].partition("/")[0]
                names = outcome["mistakes"] or [f"not named: {outcome['title']}"]
                made |= {(clean(operation, 80), clean(name, 160)) for name in names}
        counts.update(made)
        for mistake in made:
            who.setdefault(mistake, []).append(clean(submission.student, 80))
    rows = [
        templates["mistake"].fill(
            {
                "operation": operation,
                "name": name,
                "count": count,
                "share": f"{100 * count / len(submissions):.0f}",
                "who": ", ".join(sorted(who[operation, name])),
            }
        )
        for (operation, name), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    return joined(rows) if rows else templates["no_mistakes"].fill({})


def _row(templates: Any, submission: Submission, names: Sequence[str]) -> Html:
    by_name = {_label(o): o for o in submission.outcomes}
    cells = []
    for name in names:
        outcome = by_name.get(name)
        kind, mark = _MARKS[outcome["status"] if outcome else "not run"]
        title = f"{name}: {clean(outcome['title'], 200) or outcome['status']}" if outcome else name
        cells.append(templates["cell"].fill({"kind": kind, "mark": mark, "title": title}))
    return templates["row"].fill(
        {
            "student": clean(submission.student, 80),
            "points": number(submission.result["points"]),
            "cells": joined(cells),
        }
    )


def _share(templates: Any, submissions: Sequence[Submission], name: str) -> Html:
    right = sum(
        o["status"] == "passed" for s in submissions for o in s.outcomes if _label(o) == name
    )
    return templates["share"].fill({"share": f"{100 * right / len(submissions):.0f}"})
