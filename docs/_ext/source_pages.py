"""Pages with the code of files of the library, an anchor for each line: ``conv.html#L-40``.

`sphinx.ext.viewcode` has pages for what the API reference documents, with anchors for those names.
A tutorial links to a line, of any function.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import site_links
from pages import ROOT

__all__ = ["setup"]


def _pages(app: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
    for file in site_links.linked_files():
        code = (ROOT / f"{file}.py").read_text(encoding="utf-8")
        body = app.builder.highlighter.highlight_block(
            code, "python", linenos="inline", lineanchors="L", anchorlinenos=True, wrapcode=True
        )
        yield (
            f"source/{file}",
            {"title": f"{file}.py", "body": f"<h1>{file}.py</h1>{body}"},
            "page.html",
        )


def setup(app: Any) -> dict[str, bool]:
    """Add the pages."""
    app.connect("html-collect-pages", _pages)
    return {"parallel_read_safe": True}
