"""The lines of files that name classes: `names_and_colours`, `labelmap_entries`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from minideconv.errors import DataError

__all__ = ["Colour", "Entry", "is_labelmap", "labelmap_entries", "names_and_colours"]

Colour = tuple[int, int, int]
Entry = tuple[str, Colour | None]


def is_labelmap(text: str) -> bool:
    """Whether a text is CVAT's ``labelmap.txt``, ``name:red,green,blue:parts:actions``."""
    form = r"[^:]+:\d+,\d+,\d+:[^:]*:[^:]*"
    return any(re.fullmatch(form, line.strip()) for line in _split(text))


def _split(text: str) -> list[str]:
    return text.removeprefix("\ufeff").rstrip().splitlines()


def labelmap_entries(text: str) -> list[Entry]:
    """Read the names and colours of a ``labelmap.txt``.

    Raises
    ------
    DataError
        If a line is none of this; the message has its number.
    """
    found: list[Entry] = []
    for number, line in enumerate(_split(text), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, rest = line.strip().partition(":")
        colour, _, _ = rest.partition(":")
        values = [value.strip() for value in colour.split(",")]
        if not name.strip() or (colour and not _is_colour(values)):
            raise DataError(f"line {number} is {line!r}; it must be name:red,green,blue::")
        found.append((name.strip(), _numbers(values) if colour else None))
    return found


def names_and_colours(text: str) -> list[Entry]:
    """Read the lines of a ``classes.txt``: a name, and a colour behind it or before it.

    Raises
    ------
    DataError
        If a line between two names is empty, or is no certain name; the message has its number.
    """
    return list(_names_and_colours(_split(text)))


def _names_and_colours(lines: Sequence[str]) -> Iterator[Entry]:
    for number, line in enumerate(lines, 1):
        if re.match(r"\s*#(\s|#|$)|\s*name,\s*r,\s*g,\s*b\s*$", line):  # a remark; a heading
            continue
        if line.lstrip().startswith("#"):
            raise DataError(
                f"line {number} is {line.strip()!r}; a name does not begin with #, and a remark"
                " begins with # and a space"
            )
        if not line.strip():
            raise DataError(
                f"line {number} is empty; the lines are counted, and each holds a class"
            )
        words = line.replace(",", " ").split()
        if found := re.fullmatch(r"(.*\S)[\s,]\s*#([0-9a-fA-F]{6})\s*", line):
            red, green, blue = bytes.fromhex(found[2])
            yield found[1].strip(" \t,"), (red, green, blue)
        elif len(words) > 3 and _is_colour(words[-3:]):
            yield " ".join(words[:-3]), _numbers(words[-3:])
        elif len(words) > 3 and _is_colour(words[:3]):
            yield " ".join(words[3:]), _numbers(words[:3])
        elif re.search(r"\S\s+#[0-9a-fA-F]{3}([0-9a-fA-F]([0-9a-fA-F]{4})?)?\s*$", line):
            raise DataError(f"line {number} is {line.strip()!r}; a colour has six digits, #rrggbb")
        else:
            yield line.strip(), None


def _is_colour(words: Sequence[str]) -> bool:
    return len(words) == 3 and all(re.fullmatch(r"[0-9]{1,3}", word) for word in words)


def _numbers(words: Sequence[str]) -> Colour:
    return int(words[0]), int(words[1]), int(words[2])
