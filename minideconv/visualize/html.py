"""Pieces of HTML pages that carry their pictures in themselves.

What is put into a template is text, and is escaped, unless it is `Html` already: a name out of a
file of a stranger's run cannot become a part of the page by being forgotten somewhere. Templates
give `Html`, and `joined` makes one piece of several.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from string import Template

from minideconv.files.reading import read_bytes

__all__ = [
    "Html",
    "HtmlTemplate",
    "PictureRoom",
    "attributes",
    "embedded",
    "epoch_boards",
    "image",
    "joined",
    "percent",
    "read_templates",
]

_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_PICTURE = 64 << 20  # bytes


class Html(str):
    """Text that is HTML: it is put into a page as it is."""

    __slots__ = ()


class HtmlTemplate(Template):
    """A template whose values are escaped, unless they are `Html`."""

    def fill(self, values: Mapping[str, object]) -> Html:
        """Return the template with the values in their places."""
        return Html(self.substitute({name: _as_html(value) for name, value in values.items()}))


def _as_html(value: object) -> Html:
    return value if isinstance(value, Html) else Html(escape(str(value)))


def joined(parts: Iterable[object], between: str = "") -> Html:
    """Return the parts one behind the other; those that are not `Html` are escaped."""
    return Html(between.join(map(_as_html, parts)))


def attributes(values: Mapping[str, str]) -> Html:
    """Return attributes for the inside of a tag, with a space before each; "" is no value.

    >>> str(attributes({"class": "mean", "title": ""}))
    ' class="mean"'
    """
    return Html("".join(f' {name}="{escape(value)}"' for name, value in values.items() if value))


def read_templates(path: Path) -> dict[str, HtmlTemplate]:
    """Read a file of templates by name: each begins below a line ``<!-- NAME -->``."""
    parts = re.split(r"^<!-- (\w+) -->\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        name: HtmlTemplate(text.rstrip("\n"))
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


class PictureRoom:
    """How much more the pictures of a page may take, so that no page grows without a bound.

    Parameters
    ----------
    bytes_left : int
    """

    def __init__(self, bytes_left: int = 16 << 20) -> None:
        self.bytes_left = bytes_left

    def take(self, size: int) -> bool:
        """Take the room of a picture; return False, and take none, if there is too little."""
        fits = size <= self.bytes_left
        self.bytes_left -= size if fits else 0
        return fits


def image(
    path: Path,
    description: str,
    kind: str = "",
    within: Path | None = None,
    room: PictureRoom | None = None,
) -> Html:
    """Return a PNG file as an ``<img>`` element that holds it; a note where there is none.

    A file that is no PNG is none, nor is one to which a link leads out of the folder `within`. One
    for which there is no `room` is named.
    """
    content = b""
    with contextlib.suppress(OSError):
        if within is None or path.resolve().is_relative_to(within.resolve()):
            content = read_bytes(path, _MOST_PICTURE)
    if not content.startswith(_PNG):
        return _MISSING.fill({"name": path.name})
    if room is not None and not room.take(len(content)):
        return _TOO_LARGE.fill({"name": path.name})
    return embedded(content, description, kind)


_MISSING = HtmlTemplate('<p class="empty">$name is missing</p>')
_TOO_LARGE = HtmlTemplate('<p class="empty">$name is left out: the page would be too large</p>')
_IMAGE = HtmlTemplate(
    '<img class="$kind" alt="$description" loading="lazy" src="data:image/png;base64,$data">'
)


def epoch_boards(folder: Path) -> list[Path]:
    """Return the pictures ``epoch_N.png`` of a folder, in order of the epochs."""
    found = [(re.fullmatch(r"epoch_(\d{1,9})\.png", path.name), path) for path in _list(folder)]
    return [path for _, path in sorted((int(match[1]), path) for match, path in found if match)]


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def embedded(png: bytes, description: str, kind: str = "") -> Html:
    """Return the bytes of a PNG file as an ``<img>`` element that holds them."""
    data = base64.b64encode(png).decode()
    return _IMAGE.fill({"kind": kind, "description": description, "data": Html(data)})


def percent(value: float | None) -> str:
    """Write a share in per cent; a dash for None.

    >>> percent(0.8236), percent(None)
    ('82.4', '–')
    """
    return "–" if value is None else f"{100 * value:.1f}"
