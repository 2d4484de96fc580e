"""What became of a file's parameters: `Match`, with a report that a person can read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from minideconv.interop.conventions import InputConvention
from minideconv.interop.malformed import shown
from minideconv.interop.tables import shape_text, table

__all__ = ["Match", "Row"]


class Row(NamedTuple):
    """One parameter that was found: from where to where, and how."""

    source: str
    source_shape: tuple[int, ...]
    target: str
    target_shape: tuple[int, ...]
    how: str


@dataclass
class Match:
    """What a weight file has for a network.

    Attributes
    ----------
    arrays : dict of str to array
        float32, by this library's names; to be put over a network's ``state_dict()``.
    convention : InputConvention or None
        What must be fed to a network with these weights; None if the file does not tell.
    title : str
        The program and the network that the file's names are of.
    rows : list of Row
        What became of what.
    missing : list of str
        Parameters of the network that the file does not have.
    unused : list of str
        Arrays of the file that have no place in the network.
    notes : list of str
        What else was done, a sentence each.
    """

    title: str
    convention: InputConvention | None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def report(self) -> str:
        """Return all of it as a text: a line for each parameter, then what is left on each side."""
        lines = [
            f"{self.title}: {len(self.rows)} parameters",
            f"feed: {self.convention or 'not known from the names'}",
            *table(
                ("in the file", "shape", "in the network", "shape", "how"),
                [
                    (shown(r.source), shape_text(r.source_shape), r.target,
                     shape_text(r.target_shape), r.how)
                    for r in self.rows
                ],
            ),
        ]  # fmt: skip
        for title, names in (
            ("missing in the file, so the network keeps its own", self.missing),
            ("unused", self.unused),
        ):
            if names:
                lines.append(f"{title} ({len(names)}): {', '.join(map(shown, names))}")
        return "\n".join(lines + self.notes)
