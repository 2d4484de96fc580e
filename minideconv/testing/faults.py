"""What went wrong in a student's function before there was a result to compare."""

from __future__ import annotations

__all__ = ["StudentFault"]


class StudentFault(Exception):
    """A call gave no result that could be compared; the text says why, to the student.

    Attributes
    ----------
    kind : str
        ``"missing"``, ``"raised"``, ``"returned"``, and from another process ``"time"``,
        ``"memory"``, ``"exit"``, ``"crash"``, ``"output"``.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
