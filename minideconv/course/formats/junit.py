"""JUnit's XML, as pytest and Jenkins write it: a suite for the unit, a case for each check.

XML 1.0 has no way to write most control characters, not even escaped; `results.clean` has made
texts of them before.
"""

from __future__ import annotations

from xml.etree import ElementTree

from minideconv.course.results import GRADER, OutcomeResult, Result, number

__all__ = ["write"]


def write(result: Result) -> str:
    """Return the file."""
    fault = result.state == "fault"
    skipped = sum(o.status == "not run" for o in result.outcomes)
    counts = {
        "tests": str(len(result.outcomes) + fault),
        "failures": str(len(result.failures())),
        "errors": str(int(fault)),
        "skipped": str(skipped),
        "time": f"{result.seconds:.3f}",
    }
    root = ElementTree.Element("testsuites", {"name": GRADER, **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": result.unit, **counts})
    properties = ElementTree.SubElement(suite, "properties")
    points = {"points": result.points, "max_points": result.max_points}
    for name, points_ in points.items():
        ElementTree.SubElement(properties, "property", name=name, value=str(number(points_)))
    if fault:
        case = ElementTree.SubElement(suite, "testcase", name="grader", classname=result.unit,
                                      time="0.000")  # fmt: skip
        error = ElementTree.SubElement(case, "error", type="grader", message=_line(result.faults))
        error.text = result.headline()
    for outcome in result.outcomes:
        _case(suite, outcome)
    output = ElementTree.SubElement(suite, "system-out")
    output.text = result.headline()
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False).join(
        ['<?xml version="1.0" encoding="utf-8"?>\n', "\n"]
    )


def _case(suite: ElementTree.Element, outcome: OutcomeResult) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        name=f"{outcome.family} (hidden cases)" if outcome.hidden else outcome.family,
        classname=outcome.operation,
        time=f"{outcome.seconds:.3f}",
    )
    if outcome.status == "failed":
        text = outcome.text(case=not outcome.hidden)
        failure = ElementTree.SubElement(
            case, "failure", type=outcome.kind, message=_line([outcome.title])
        )
        failure.text = text
    elif outcome.status == "not run":
        ElementTree.SubElement(case, "skipped", message=_line([outcome.title]))


def _line(texts: list[str] | tuple[str, ...]) -> str:
    return " ".join(" ".join(texts).split())
