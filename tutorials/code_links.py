"""Links from tutorials and pages to lines of the library: where a function or class begins.

They have the form ``[`minideconv.ops.conv.im2col`](../minideconv/ops/conv.py#L40)``. The name says
what is meant; the number is looked up, so that it stays right when the code above it changes.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

__all__ = ["LINK", "faults", "line_of", "refreshed"]

_CODE = r"\((?P<up>(?:\.\./)+)(?P<file>minideconv/[\w/]+\.py)(?:#L(?P<line>\d+))?\)"
LINK = re.compile(r"\[`(?P<name>[\w.]+)`\]" + _CODE)


def line_of(name: str, file: Path) -> int:
    """Return the line on which the function, class or constant of a dotted name begins in a file.

    ``minideconv.nn.Conv2d.forward`` is looked for as ``Conv2d.forward``, then as ``forward``: a
    name may be that of the module or of a room that offers it.

    Raises
    ------
    LookupError
        If the file does not exist, or defines nothing of that name.
    """
    if not file.is_file():
        raise LookupError(f"{name}: there is no file {file.name} where the link points to")
    lines = _lines(ast.parse(file.read_text(encoding="utf-8")), "")
    parts = name.split(".")
    for start in range(1, len(parts)):
        if (found := ".".join(parts[start:])) in lines:
            return lines[found]
    raise LookupError(f"{name}: {file.name} defines no {parts[-1]}")


def _lines(tree: ast.Module | ast.ClassDef, inside: str) -> dict[str, int]:
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[inside + node.name] = node.lineno
            if isinstance(node, ast.ClassDef):
                found |= _lines(node, f"{inside}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {inside + t.id: node.lineno for t in targets if isinstance(t, ast.Name)}
    return found


def refreshed(source: str, root: Path) -> str:
    """Return a text with the numbers of its links as they are now; broken links stay as they are."""

    def mended(match: re.Match[str]) -> str:
        try:
            line = line_of(match["name"], root / match["file"])
        except LookupError:
            return match[0]
        return f"[`{match['name']}`]({match['up']}{match['file']}#L{line})"

    return LINK.sub(mended, source)


def faults(source: str, root: Path) -> list[str]:
    """Return a sentence for each link to code that leads elsewhere than its text says."""
    wrong = []
    whole = {match.start() for match in LINK.finditer(source)}
    for match in re.finditer(r"\[[^\]]*\]\((?:\.\./)+minideconv/[^)]*\)", source):
        if match.start() not in whole:
            wrong.append(f"{match[0]} is not of the form [`dotted.name`](../minideconv/file.py#L1)")
    for match in LINK.finditer(source):
        try:
            line = line_of(match["name"], root / match["file"])
        except LookupError as error:
            wrong.append(str(error))
            continue
        if match["line"] != str(line):
            wrong.append(f"{match['name']} begins on line {line}, its link says {match['line']}")
    return wrong
