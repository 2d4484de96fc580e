"""Pieces of HTML pages that carry their pictures in themselves."""

from __future__ import annotations

import base64
import re
from html import escape
from pathlib import Path
from string import Template

__all__ = ["embedded", "image", "percent", "read_templates"]


def read_templates(path: Path) -> dict[str, Template]:
    """Read a file of templates by name: each begins below a line ``<!-- NAME -->``."""
    parts = re.split(r"^<!-- (\w+) -->\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        name: Template(text.rstrip("\n"))
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def image(path: Path, description: str, kind: str = "") -> str:
    """Return a PNG file as an ``<img>`` element that holds it; a note where it is missing."""
    try:
        return embedded(path.read_bytes(), description, kind)
    except OSError:
        return f'<p class="empty">{escape(path.name)} is missing</p>'


def embedded(png: bytes, description: str, kind: str = "") -> str:
    """Return the bytes of a PNG file as an ``<img>`` element that holds them."""
    data = base64.b64encode(png).decode()
    return (
        f'<img class="{kind}" alt="{escape(description)}" loading="lazy" '
        f'src="data:image/png;base64,{data}">'
    )


def percent(value: float | None) -> str:
    """Write a share in per cent; a dash for None.

    >>> percent(0.8236), percent(None)
    ('82.4', '–')
    """
    return "–" if value is None else f"{100 * value:.1f}"
