"""What a text must be that stands for a picture."""

from __future__ import annotations

import re

__all__ = ["alt_fault", "checked_alt"]

_LEAST = 4  # words


def alt_fault(alt: object) -> str:
    """Return what is wrong with an alt text, as the end of a sentence; "" if nothing is.

    Examples
    --------
    >>> alt_fault("The matrix of a convolution: four rows, each with the nine taps")
    ''
    >>> alt_fault("_images/3f2a.png")
    'is a file name'
    """
    if not isinstance(alt, str) or not alt.strip():
        return "is missing"
    if re.fullmatch(r"\S+\.(png|svg|gif|jpe?g|webp)", alt.strip(), re.IGNORECASE):
        return "is a file name"
    if len(re.findall(r"\w+", alt)) < _LEAST:
        return f"has fewer than {_LEAST} words"
    return ""


def checked_alt(alt: object) -> str:
    """Return an alt text without line breaks.

    Raises
    ------
    ValueError
        If it is missing, a file name, or shorter than four words: then it does not say what the
        picture shows.
    """
    if fault := alt_fault(alt):
        raise ValueError(
            f"alt is {alt!r}, which {fault};"
            " say in a sentence what a reader is to see in the picture"
        )
    return " ".join(str(alt).split())
