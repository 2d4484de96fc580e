"""Links that work on a code host and on the site.

Pages and notebooks are read in both places. On a code host their links lead to files of the
repository; on the site there are pages in their place:

- ``../tutorials/NAME.ipynb`` is the page of that notebook;
- ``../minideconv/ops/conv.py#L40`` is line 40 of a page with that file's code (`source_pages`);
- in a notebook, which stands in a folder of its own, ``../docs/PAGE.md#anchor`` is that page.
"""

from __future__ import annotations

import re
from typing import Any

from pages import DOCS, ROOT

__all__ = ["for_notebook", "for_page", "linked_files", "setup"]

_CODE = re.compile(r"\]\((?P<up>(?:\.\./)+)(?P<file>minideconv/[\w/]+)\.py(?:#L(?P<line>\d+))?\)")


def _code_links(text: str, up: str) -> str:
    """Point links to code at pages of the site; `up` leads from the page to the site's root."""

    def page(match: re.Match[str]) -> str:
        anchor = f"#L-{match['line']}" if match["line"] else ""
        return f"]({up}source/{match['file']}.html{anchor}){{.external .source-line}}"

    return _CODE.sub(page, text)


def for_page(text: str, docname: str) -> str:
    """Return a page of docs/ with links for the site."""
    up = "../" * docname.count("/")
    text = re.sub(
        rf"\]\({re.escape(up)}\.\./tutorials/(\w+)\.ipynb", rf"]({up}tutorials/\1.ipynb", text
    )
    return _code_links(text, up)


def for_notebook(text: str) -> str:
    """Return the Markdown of a notebook in tutorials/ as it must be in docs/tutorials/."""
    return _code_links(text.replace("](../docs/", "](../"), "../")


def linked_files() -> list[str]:
    """Return the files of the package that a page or a notebook links to, without ``.py``."""
    texts = [*DOCS.rglob("*.md"), *(ROOT / "tutorials").glob("[0-9]*.py")]
    found = (_CODE.finditer(path.read_text(encoding="utf-8")) for path in texts)
    return sorted({match["file"] for matches in found for match in matches})


def _read(app: Any, docname: str, source: list[str]) -> None:
    if not docname.startswith("tutorials/"):  # their notebooks come with links for the site
        source[0] = for_page(source[0], docname)


def setup(app: Any) -> dict[str, bool]:
    """Change links when Sphinx reads a page."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
