"""Where the pages are, and how a generated one is written."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["DOCS", "ROOT", "write"]

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent


def write(path: Path, text: str) -> None:
    """Write a file unless it is already so, to keep incremental builds fast.

    In the rows of Markdown tables a number stays on one line with its spread, as dates and the two
    ends of an interval do.
    """
    if path.suffix == ".md":
        text = re.sub(r"^\|.*$", lambda row: _unbroken(row[0]), text, flags=re.MULTILINE)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _unbroken(row: str) -> str:
    row = re.sub(r"\b(\d{4})-(\d\d)-(\d\d)\b", r"\1‑\2‑\3", row)  # non-breaking hyphens
    row = row.replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")
    return re.sub(r"\[([-+\d.]+), ([-+\d.]+)\]", "[\\1,\N{NO-BREAK SPACE}\\2]", row)
