"""From a solution to a student's file: what stands between markers is taken out.

``# BEGIN SOLUTION`` ... ``# END SOLUTION``: replaced by ``raise NotImplementedError(...)``.
``# BEGIN HIDDEN`` ... ``# END HIDDEN``: removed without a trace.
"""

from __future__ import annotations

import ast
import re

from minideconv.errors import DataError

__all__ = ["NOT_WRITTEN", "is_marker", "strip_solution"]

NOT_WRITTEN = "write this part"
"""What the NotImplementedError of a skeleton says."""

_MARKER = re.compile(r"^(?P<indent>[ \t]*)#+\s*(?P<word>BEGIN|END)\s+(?P<kind>\w+)\s*$")
_LIKE = re.compile(r"#.*\b(BEGIN|END)\s+(SOLUTION|HIDDEN)\b")


def strip_solution(source: str, name: str) -> str:
    """Return the skeleton of a solution.

    Parameters
    ----------
    source : str
        Python source with markers, each on a line of its own.
    name : str
        Of the file, for messages.

    Raises
    ------
    DataError
        If a marker is open, nested or misspelt, if no solution is marked, or if what is left is no
        Python: name and line.
    """
    kept: list[str] = []
    opened: tuple[str, str, int] | None = None  # kind, indentation, line
    solutions = 0
    for line_number, line in enumerate(source.splitlines(), 1):
        match = _MARKER.match(line) if is_marker(line) else None
        if match is None:
            if _LIKE.search(line):
                raise DataError(
                    f"{name}, line {line_number}: a marker stands on a line of its own,"
                    " `# BEGIN SOLUTION`"
                )
            if opened is None:
                kept.append(line)
            continue
        word, kind = match["word"], match["kind"]
        if word == "BEGIN":
            if opened is not None:
                raise DataError(
                    f"{name}, line {line_number}: BEGIN {kind} stands inside {opened[0]} of line"
                    f" {opened[2]}; markers are not nested"
                )
            opened = kind, match["indent"], line_number
        elif opened is None or opened[0] != kind:
            raise DataError(f"{name}, line {line_number}: END {kind} ends nothing")
        else:
            if kind == "SOLUTION":
                solutions += 1
                kept.append(f'{opened[1]}raise NotImplementedError("{NOT_WRITTEN}")')
            opened = None
    if opened is not None:
        raise DataError(f"{name}, line {opened[2]}: BEGIN {opened[0]} is never ended")
    if not solutions:
        raise DataError(f"{name}: no part is marked as solution, so students would get all of it")
    skeleton = "\n".join(kept) + "\n"
    try:
        ast.parse(skeleton, name)
    except SyntaxError as error:
        raise DataError(
            f"{name}: without its solution it is no Python: {error.msg} in line {error.lineno}"
        ) from None
    return skeleton


def is_marker(line: str) -> bool:
    """Whether a line begins or ends a part that students do not get."""
    match = _MARKER.match(line)
    return match is not None and match["kind"] in ("SOLUTION", "HIDDEN")
