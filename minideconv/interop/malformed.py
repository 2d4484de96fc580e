"""What a reader says about a file that is not what it claims to be."""

from __future__ import annotations

__all__ = ["Malformed", "shown"]


class Malformed(Exception):
    """A file breaks the rules of its format, or holds what is not read here.

    The message is a sentence without the file's name, which `read_weights` puts in front of it.
    """


def shown(name: object, longest: int = 80) -> str:
    """Return a name from a file as a message or a table may print it.

    A file may call its arrays anything, also something that moves a terminal's cursor.
    """
    text = str(name)
    text = text if len(text) <= longest else f"{text[: longest - 3]}..."
    return text if text.isprintable() and text else repr(text)
