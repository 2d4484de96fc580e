"""``StudentFault``: why a call of a student's function gave nothing to compare."""

from __future__ import annotations

__all__ = ["StudentFault"]


class StudentFault(Exception):
    """A call gave no result that could be compared; the text says why, to the student.

    Attributes
    ----------
    kind : str
        ``"missing"``, ``"raised"``, ``"returned"``; ``"absent"``: it needs what is optional and not
        there; ``"recursion"`` and ``"paths"`` of a tape; and from another process ``"time"``,
        ``"memory"``, ``"exit"``, ``"crash"``, ``"output"``.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
