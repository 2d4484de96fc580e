"""Pieces of the course's pages: the mistake bank as tables, and a message as a student reads it."""

from __future__ import annotations

import re

from pages import DOCS, write

from minideconv import ops
from minideconv.testing import OperationError, check_op
from minideconv.testing.mistakes import mistakes
from minideconv.testing.operations import OPERATIONS

__all__ = ["bank", "message", "write_all"]


def bank() -> str:
    """Return the mistake bank as Markdown: a section for each operation, a row for each name."""
    lines = [f"{len(mistakes())} wrong implementations:", ""]
    for operation in OPERATIONS:
        rows: dict[tuple[str, str], list[str]] = {}
        for each in mistakes(operation):
            rows.setdefault((each.name, each.sentence), []).append(each.output)
        if not rows:
            continue
        lines += [f"## {operation}", "", "| name | output | what the code does |", "|---|---|---|"]
        for (name, sentence), outputs in rows.items():
            said = ", ".join(f"`{output}`" for output in dict.fromkeys(outputs))
            lines.append(f"| {_plain(name)} | {said} | {_plain(sentence)} |")
        lines.append("")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Escape what Markdown would take for markup."""
    return re.sub(r"([*_`|<>\[\]$\\])", r"\\\1", text)


def message() -> str:
    """Return what `check_op` says of a convolution that flips its kernel."""

    def my_conv(image, kernel, bias=None, **settings):  # type: ignore[no-untyped-def]
        return ops.conv2d(image, kernel[:, :, ::-1, ::-1], bias, **settings)

    try:
        check_op(my_conv, "conv2d")
    except OperationError as error:
        return str(error)
    raise RuntimeError("the mistake was not seen")


def write_all() -> None:
    """Write the pieces."""
    write(DOCS / "generated" / "course-mistakes.md", bank() + "\n")
    write(DOCS / "generated" / "course-message.txt", message() + "\n")
