"""The page to play with as one file: styles and scripts of docs/play written into its HTML.

    python docs/_ext/play_page.py playground.html

docs/play/index.html works from the folder as well; one file can be sent, and put on a site. Links
to pages of the documentation, `../NAME.md` there, become those of the site, `NAME.html`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pages import DOCS, write

__all__ = ["SOURCE", "build", "page"]

SOURCE = DOCS / "play"
SITE = DOCS / "generated" / "site"  # conf.py's html_extra_path


def page(source: Path = SOURCE) -> str:
    """Return the whole page."""

    def style(found: re.Match[str]) -> str:
        return f"<style>\n{(source / found[1]).read_text(encoding='utf-8')}</style>"

    def script(found: re.Match[str]) -> str:
        text = (source / found[1]).read_text(encoding="utf-8")
        if "</script" in text:
            raise ValueError(f"docs/play/{found[1]} contains </script, which would end it early")
        return f"<script>\n{text}</script>"

    text = (source / "index.html").read_text(encoding="utf-8")
    text = re.sub(r'<link rel="stylesheet" href="([^"]+)">', style, text)
    text = re.sub(r'<script src="([^"]+)"></script>', script, text)
    return re.sub(r'href="\.\./(\w+)\.md"', r'href="\1.html"', text)


def build(path: Path = SITE / "playground.html") -> None:
    """Write the page, for the site unless another path is given."""
    write(path, page())


if __name__ == "__main__":
    build(Path(sys.argv[1]))
