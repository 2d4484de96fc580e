"""What is in a percent script: its cells, and the Python in its folded answers."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["answers", "cells"]


def cells(script: Path) -> list[tuple[str, str]]:
    """Return kind ("markdown" or "code") and text of every cell."""
    parts = re.split(r"^# %%(.*)\n", script.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = []
    for head, body in zip(parts[1::2], parts[2::2], strict=True):
        if "[markdown]" in head:
            body = "\n".join(re.sub(r"^# ?", "", line) for line in body.splitlines())
            found.append(("markdown", body))
        else:
            found.append(("code", body))
    return found


def answers(script: Path) -> list[str]:
    """Return the Python blocks inside the folded answers."""
    text = "\n".join(body for kind, body in cells(script) if kind == "markdown")
    folded = re.findall(r"<details>.*?</details>", text, re.DOTALL)
    return [
        source
        for part in folded
        for source in re.findall(r"^```python\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
    ]
