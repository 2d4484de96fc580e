"""`Faults`: what is wrong with all files of a source, collected and reported in one go."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

__all__ = ["Faults"]

_MOST = 1000


class Faults:
    """What was found wrong, by file, and what was left out or is worth a remark.

    Parameters
    ----------
    root : Path
        The folder of the source; files in it are named from there on.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.count = 0
        self._lines: list[str] = []
        self._files: set[str] = set()
        self._remarks: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def name(self, path: Path) -> str:
        """Return what a file is called in a message."""
        inside = path.is_relative_to(self.root)
        return path.relative_to(self.root).as_posix() if inside else str(path)

    def add(self, path: Path, sentence: object) -> None:
        """Note what is wrong with a file; its own name, if the sentence has it, becomes "it"."""
        self.count += 1
        name = self.name(path)
        self._files.add(name)
        if len(self._lines) < _MOST:
            text = re.sub(rf"^(mask )?{re.escape(str(path))} ", "it ", str(sentence))
            text = text.replace(f"{self.root}/", "")
            self._lines.append(f"{_shown(name)}: {_shown(text)}")

    def remark(self, path: Path, kind: str) -> None:
        """Count something that is legal but may not have been meant."""
        self._remarks[kind] += 1
        self._first.setdefault(kind, _shown(self.name(path)))

    def remarks(self) -> list[str]:
        """Return one line for each kind of remark, with how often and where first."""
        return [
            f"note: {kind}: {count}, first in {self._first[kind]}"
            for kind, count in self._remarks.items()
        ]

    def report(self) -> str:
        """Return all faults, one a line, below the line that counts them."""
        files = "1 file" if len(self._files) == 1 else f"{len(self._files)} files"
        faults = "1 fault" if self.count == 1 else f"{self.count} faults"
        rest = self.count - len(self._lines)
        lines = [f"{faults} in {files}, so nothing was written:", *self._lines]
        return "\n  ".join(lines + [f"and {rest} more"] * (rest > 0))


def _shown(text: str) -> str:
    """Return a text from a file of anybody's, without what a terminal would obey."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
