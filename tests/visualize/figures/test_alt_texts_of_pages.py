"""Every picture of the documentation has an alt text; generated pages are not looked at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minideconv.visualize.figures.alt import alt_fault

ROOT = Path(__file__).resolve().parents[3]
MADE = {"generated", "tutorials", "api", "_build"}
WRITTEN = [
    page
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if not MADE & set(page.relative_to(ROOT / "docs").parts)
]
PAGES = [ROOT / "README.md", *WRITTEN]


def faults(text):
    """What is wrong with the alt texts of a page in Markdown."""
    alts = [match[1] for match in re.finditer(r"!\[([^\]]*)\]\(", text)]
    for match in re.finditer(r"^(`{3,}|:{3,})\{(?:image|figure)\}(.*?)^\1", text, re.M | re.S):
        given = re.search(r"^:alt:(.*(?:\n .*)*)", match[2], re.MULTILINE)
        alts.append(given[1] if given else "")
    for match in re.finditer(r"<img\b[^>]*>", text):
        given = re.search(r'alt="([^"]*)"', match[0])
        alts.append(given[1] if given else "")
    return [f"{alt!r} {fault}" for alt in alts if (fault := alt_fault(alt))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_picture_has_an_alt_text(page):
    assert not faults(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", [
    "![](a.png)", "![a.png](a.png)", "![figure](a.png)", '<img src="a.png">', '<img alt="" src="">',
    "```{image} a.png\n:width: 3\n```", "```{figure} a.png\n:alt: a.png\n```",
])  # fmt: skip
def test_a_missing_one_is_found(text):
    assert len(faults(f"Words.\n\n{text}\n")) == 1


def test_right_ones_are_none():
    text = (
        "![Three masks in a row](a.png)\n\n```{image} a.png\n:alt: Three masks\n  in a row\n```\n"
    )
    assert not faults(text + '<img alt="Three masks in a row" src="a.png">')
