"""Find the figures of an executed notebook that a reader who does not see them is told nothing of.

A figure that `minideconv.visualize.show` displayed has its text in the HTML; one that
matplotlib displayed by itself would get a hashed file name in its place on the site.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from minideconv.visualize.figures.alt import alt_fault
from minideconv.visualize.figures.style import PAGE_WIDTH

__all__ = ["faults"]


class _Figures(HTMLParser):
    """Collect what is wrong with the pictures of a piece of HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img":
            if fault := alt_fault(values.get("alt")):
                self.wrong.append(f"the alt text of a figure {fault}")
            least = re.search(r"min-width:(\d+)px", values.get("style") or "")
            if least and int(least[1]) > PAGE_WIDTH:
                self.wrong.append(
                    f"a figure needs {least[1]} pixels for text that can be read;"
                    f" a page has {PAGE_WIDTH}"
                )
        elif tag == "svg" and values.get("aria-hidden") != "true":
            fault = alt_fault(values.get("aria-label"))
            if values.get("role") != "img" or fault:
                self.wrong.append(
                    f"an <svg> has no role=img, or its aria-label {fault or 'is odd'}"
                )


def faults(notebook: Any) -> list[str]:
    """Return a sentence for each figure without an alt text, or too wide for a page."""
    wrong = []
    for number, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            html = data.get("text/html")
            if html is None:
                if any(kind.startswith("image/") for kind in data):
                    wrong.append(f"cell {number}: a figure has no alt text; use show(figure, alt=)")
                continue
            figures = _Figures()
            figures.feed(html if isinstance(html, str) else "".join(html))
            wrong += [f"cell {number}: {fault}" for fault in figures.wrong]
    return wrong
