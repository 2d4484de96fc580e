"""Kinds of errors: where two functions fail alike, they fail for the same reason."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["ANY", "INDEX", "OTHER", "SHAPE", "TRUTH", "Fails", "error_kind"]

INDEX, SHAPE, TRUTH, OTHER = "index", "shape", "truth", "other"
ANY = (INDEX, SHAPE, TRUTH, OTHER)

_WORDS = (
    (TRUTH, ("truth value", "is ambiguous")),
    (INDEX, ("indexerror",)),
    (SHAPE, ("broadcast", "cannot reshape", "shape-mismatch", "core dimension", "not aligned",
             "negative dimensions", "negative values", "size of tensor", "for input of size",
             "cannot be multiplied", "expanded size", "axis remapping")),
)  # fmt: skip
"""Words of NumPy's errors and of PyTorch's."""


def error_kind(said: str) -> str:
    """Return of which kind an error is: its type and what it says, in NumPy's or PyTorch's words.

    Examples
    --------
    >>> error_kind("conv2d raised IndexError: index 3 is out of bounds for axis 2 with size 3")
    'index'
    """
    low = said.split(" in line ")[0].lower()  # where it was raised tells nothing
    return next((kind for kind, words in _WORDS if any(word in low for word in words)), OTHER)


class Fails(Exception):
    """Such code raises here: an error of one of these kinds."""

    def __init__(self, *kinds: str) -> None:
        super().__init__(*kinds)
        self.kinds = kinds

    def error(self) -> Exception:
        """Return such an error, as code that is handed in would raise it."""
        return _ERRORS[self.kinds[0]]()


_ERRORS: dict[str, Callable[[], Exception]] = {
    INDEX: lambda: IndexError("index is out of bounds"),
    SHAPE: lambda: ValueError("operands could not be broadcast together"),
    TRUTH: lambda: ValueError("the truth value of an array is ambiguous"),
    OTHER: lambda: ValueError("this case is not allowed for"),
}
