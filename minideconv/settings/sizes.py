"""Amounts of memory as people write them: ``3GiB``, ``800MB``."""

from __future__ import annotations

import re

__all__ = ["format_size", "parse_size"]

_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_BINARY = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Read a number of bytes: KB, MB, GB are thousands, KiB, MiB, GiB powers of 1024.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> parse_size("3GiB"), parse_size("1.5 gb"), parse_size("800MB")
    (3221225472, 1500000000, 800000000)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([KMGT]?)(i?)B?\s*", text, re.IGNORECASE)
    if found is None or (found[3] and not found[2]):
        raise ValueError(f"{text!r} is not a size such as 3GiB or 800MB")
    units = _BINARY if found[3] else _UNITS
    return int(float(found[1]) * units[found[2].upper()])


def format_size(nbytes: float) -> str:
    """Write a number of bytes in TiB, GiB or MiB.

    >>> format_size(5 * 2**40), format_size(3 * 2**30 + 2**28), format_size(800e6)
    ('5.00 TiB', '3.25 GiB', '763 MiB')
    """
    if nbytes >= 2**40:
        return f"{nbytes / 2**40:.2f} TiB"
    if nbytes >= 2**30:
        return f"{nbytes / 2**30:.2f} GiB"
    return f"{nbytes / 2**20:.0f} MiB"
