"""Check a built site without a network: links, anchors, texts of pictures, and that it is complete.

    python docs/_ext/check_site.py FOLDER

Every link inside the site leads to a file that is there, and its anchor to an element of that
page; links to elsewhere are https addresses, which are not visited. Every picture has a text. No
page loads a script, a style, a font or a picture from elsewhere. Prints what is wrong; the exit
status is 1 then.
"""

from __future__ import annotations

import html
import re
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from minideconv.visualize.figures.alt import alt_fault

__all__ = ["faults", "main"]

_TAG = re.compile(r"<(a|link|img|script|iframe|source|video|object|form|image|use)\b([^>]*)>", re.I)
_ATTRIBUTE = re.compile(r"([\w:-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_ID = re.compile(r"\b(?:id|name)=\"([^\"]+)\"")
_QUIET = re.compile(r"<!--.*?-->|<(script|style)\b(?=[^>]*>)([^>]*)>.*?</\1>", re.S | re.I)
_LINKS = {"a", "form"}  # they lead somewhere; what all other tags name is loaded


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _anchors(path: Path) -> frozenset[str]:
    return frozenset(html.unescape(name) for name in _ID.findall(_text(path)))


def faults(site: Path) -> list[str]:
    """Return a sentence for every fault of the pages of a folder."""
    wrong = []
    for page in sorted(site.rglob("*.html")):
        if page.is_relative_to(site / "_static"):  # a template that the theme leaves there
            continue
        # What a script or a style sheet says is not HTML; the tag itself may load a file.
        text = _QUIET.sub(lambda match: f"<{match[1]}{match[2]}>" if match[1] else "", _text(page))
        for tag, rest in _TAG.findall(text):
            attributes = {
                name.lower(): html.unescape(first or second)
                for name, first, second in _ATTRIBUTE.findall(rest)
            }
            for fault in _faults_of_tag(site, page, tag.lower(), attributes):
                wrong.append(f"{page.relative_to(site)}: {fault}")
    return wrong


def _faults_of_tag(site: Path, page: Path, tag: str, attributes: dict[str, str]) -> list[str]:
    found = []
    decorative = attributes.get("alt") == "" and "tutorial-" in attributes.get("src", "")
    if tag == "img" and not decorative and (fault := alt_fault(attributes.get("alt"))):
        found.append(f"the text of {attributes.get('src', 'a picture')[:60]} {fault}")
    for name in ("href", "src", "data", "action", "xlink:href"):
        address = attributes.get(name)
        if address is None:
            continue
        if fault := _fault_of_address(site, page, address, tag in _LINKS, attributes):
            found.append(f"<{tag} {name}={address[:80]!r}> {fault}")
    return found


def _fault_of_address(
    site: Path, page: Path, address: str, leads: bool, attributes: dict[str, str]
) -> str:
    """Return what is wrong with an address, as the end of a sentence; "" if nothing is."""
    parts = urlsplit(address)
    if parts.scheme == "data":
        return "is a page of its own" if leads else ""
    if parts.scheme == "mailto":
        return ""
    if parts.scheme or parts.netloc:
        if not leads and attributes.get("rel") != "canonical":
            return "is loaded from elsewhere"
        good = parts.scheme == "https" and re.fullmatch(r"[\w.-]+\.[a-z]{2,}", parts.netloc)
        return "" if good and not re.search(r"\s", address) else "is no https address"
    if not address or address == "#":
        return ""
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.exists():
        return "leads to a file that is not there"
    if not target.is_relative_to(site.resolve()) and target != page:
        return "leads out of the site"
    if target.is_dir():
        return "leads to a folder"
    anchor = unquote(parts.fragment)
    if anchor and target.suffix == ".html" and anchor not in _anchors(target):
        return "leads to an anchor that is not there"
    return ""


def main(arguments: list[str]) -> int:
    """Print the faults of a built site."""
    (folder,) = arguments
    site = Path(folder)
    pages = len(list(site.rglob("*.html")))
    if not pages:
        print(f"{site} holds no page: build the site first")
        return 1
    wrong = faults(site)
    for fault in wrong:
        print(fault)
    print(f"{pages} pages, {len(wrong)} faults")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
