"""Where the pages are, and how a generated one is written."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DOCS", "ROOT", "write"]

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent


def write(path: Path, text: str) -> None:
    """Write a file unless it is already so, to keep incremental builds fast."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
