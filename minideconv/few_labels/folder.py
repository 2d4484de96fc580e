"""The folder of a set: ``few_labels.json``, the runs, ``results.json``, ``table.md``, a picture."""

from __future__ import annotations

from pathlib import Path

from minideconv.few_labels.plan import FewLabels
from minideconv.run_sets.folder import SetFolder

__all__ = ["Folder"]


class Folder(SetFolder[FewLabels]):
    """The folder of a set of starts and labels."""

    def __init__(self, path: str | Path) -> None:
        names = ("few_labels.json", "few_labels.svg")
        super().__init__(path, FewLabels.from_dict, "starts and labels", names)
