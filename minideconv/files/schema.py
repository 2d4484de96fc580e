"""What a JSON file may hold, said once and checked as soon as it is read.

A kind is a function ``kind(value, where)`` that raises `Mismatch` unless `value` is of that kind;
`where` says in words what is looked at. Kinds are put together::

    progress = table({"epoch": whole(), "elapsed": number(low=0)}, {"best": optional(number())})
    progress(header["progress"], "progress")

What is read is anybody's: each type, each range and each length that the program relies on is in
the kind, so that nothing behind it meets a surprise.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

__all__ = [
    "Kind",
    "Mismatch",
    "anything",
    "choice",
    "file_name",
    "flag",
    "list_of",
    "mapping_of",
    "number",
    "optional",
    "scalar",
    "shown",
    "shown_name",
    "table",
    "text",
    "whole",
]

Kind = Callable[[Any, str], None]


class Mismatch(ValueError):
    """A value is not of its kind; the message is a sentence about it."""


def shown(value: Any, most: int = 60) -> str:
    """Return a value as a message may show it: short, and nothing that moves a cursor."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**most:
        return f"a number of more than {most} digits"
    words = repr(value)
    words = words if len(words) <= most else f"{words[:most]}..."
    return words.encode("ascii", "backslashreplace").decode()


def shown_name(name: str, most: int = 60) -> str:
    """Return a name from a file as a message may show it: as it is if it is plain."""
    plain = name.isascii() and name.isprintable() and 0 < len(name) <= most
    return name if plain else shown(name, most)


def _refuse(value: Any, where: str, legal: str) -> None:
    raise Mismatch(f"{where} is {shown(value)}; it must be {legal}")


def anything(value: Any, where: str) -> None:
    """Take any value."""


def text(value: Any, where: str) -> None:
    """Take a text that can be written down: no half of a pair of surrogates."""
    if not isinstance(value, str) or any("\ud800" <= c <= "\udfff" for c in value):
        _refuse(value, where, "a text")


def file_name(value: Any, where: str) -> None:
    """Take the name of a file, which is in no other folder."""
    if not isinstance(value, str) or not re.fullmatch(r"\w[\w .()+-]{0,200}", value):
        raise Mismatch(f"{where} is {shown(value)}; it must be the name of a file, without folders")


def flag(value: Any, where: str) -> None:
    """Take true or false."""
    if not isinstance(value, bool):
        _refuse(value, where, "true or false")


def scalar(value: Any, where: str) -> None:
    """Take null, true, false, a text or a finite number."""
    if value is None or isinstance(value, bool):
        return
    (text if isinstance(value, str) else number())(value, where)


def whole(low: int = 0, high: int = 2**53) -> Kind:
    """Return the kind of whole numbers from `low` to `high`."""

    def kind(value: Any, where: str) -> None:
        right = isinstance(value, int) and not isinstance(value, bool)
        if not right or not low <= value <= high:
            _refuse(value, where, f"a whole number from {low} to {high}")

    return kind


def number(
    low: float = -sys.float_info.max, high: float = sys.float_info.max, finite: bool = True
) -> Kind:
    """Return the kind of numbers from `low` to `high`; also NaN and infinity unless `finite`."""
    ends = [f"from {low:g}"] * (low > -sys.float_info.max)
    ends += [f"to {high:g}"] * (high < sys.float_info.max)
    legal = " ".join(["a number", *ends])

    def kind(value: Any, where: str) -> None:
        right = isinstance(value, int | float) and not isinstance(value, bool)
        if right and isinstance(value, float) and not math.isfinite(value):
            right = not finite
        elif right:
            right = low <= value <= high
        if not right:
            _refuse(value, where, legal)

    return kind


def choice(*values: str) -> Kind:
    """Return the kind of these texts."""

    def kind(value: Any, where: str) -> None:
        if not isinstance(value, str) or value not in values:
            _refuse(value, where, " or ".join(map(repr, values)))

    return kind


def optional(inner: Kind) -> Kind:
    """Return the kind that also takes null."""

    def kind(value: Any, where: str) -> None:
        if value is not None:
            inner(value, where)

    return kind


def list_of(inner: Kind, least: int = 0, most: int = 2**53) -> Kind:
    """Return the kind of lists of `inner`, of `least` to `most` items."""

    def kind(value: Any, where: str) -> None:
        if not isinstance(value, list) or not least <= len(value) <= most:
            count = f"{least}" if least == most else f"{least} to {most}"
            legal = "a list" if (least, most) == (0, 2**53) else f"a list of {count}"
            _refuse(value, where, legal)
        for at, item in enumerate(value):
            inner(item, f"{where}[{at}]")

    return kind


def mapping_of(inner: Kind, others: Mapping[str, Kind] | None = None) -> Kind:
    """Return the kind of objects in which every value is of the kind `inner`.

    Values under the names in `others` are of the kinds there.
    """
    known = others or {}

    def kind(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            _refuse(value, where, "an object")
        for name, item in value.items():
            text(name, f"a name in {where}")
            known.get(name, inner)(item, f"{where}.{shown_name(name)}")

    return kind


def table(
    required: Mapping[str, Kind],
    others: Mapping[str, Kind] | None = None,
    only: Collection[str] | None = None,
) -> Kind:
    """Return the kind of objects with these names.

    Parameters
    ----------
    required : mapping of str to kind
        What must be there.
    others : mapping of str to kind, optional
        What may be there.
    only : collection of str, optional
        Further names that may be there, of any kind; left out, every other name may.
    """
    inner = {**required, **(others or {})}

    def kind(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            _refuse(value, where, "an object")
        for name in required:
            if name not in value:
                raise Mismatch(f"{where} has no {name!r}")
        for name, item in value.items():
            if name in inner:
                inner[name](item, f"{where}.{shown_name(name)}")
            elif only is not None and name not in only:
                raise Mismatch(f"{where} has {shown(name)}, which does not belong there")

    return kind
