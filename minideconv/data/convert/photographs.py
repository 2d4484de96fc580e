"""`PhotographFiles`: the pictures below some folders, found by the names that label files use.

Only what was found in the folders can be named, so that a file of labels from a stranger cannot
have any other picture of this machine copied.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from minideconv.data.lists import IMAGE_SUFFIXES
from minideconv.errors import DataError, some

__all__ = ["PhotographFiles", "files_below"]


def files_below(folder: Path, endings: Sequence[str]) -> Iterator[Path]:
    """Yield the files in a folder and the folders in it, by name; hidden ones are left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if path.suffix.lower() in endings and not name.startswith(".") and path.is_file():
                yield path


class PhotographFiles:
    """The pictures below folders.

    Parameters
    ----------
    folders : sequence of Path
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self.paths = {path for folder in folders for path in files_below(folder, IMAGE_SUFFIXES)}
        self._by_stem: dict[str, list[Path]] = {}
        for path in sorted(self.paths):
            self._by_stem.setdefault(path.stem, []).append(path)

    def find(self, name: str, near: Path | None = None) -> Path:
        """Return the picture that a label file calls so.

        Parameters
        ----------
        name : str
            A name or a path, whole or a part of one, of any system.
        near : Path, optional
            A folder; the picture that has this path from there is preferred.

        Raises
        ------
        DataError
            If there is none, or several have the name and no more of the path tells them apart.
        """
        wanted = PurePosixPath(name.replace("\\", "/"))
        if near is not None:
            beside = Path(os.path.normpath(near / wanted))
            if beside in self.paths:
                return beside
        stem = self._by_stem.get(wanted.stem, [])
        return self._nearest(name, wanted, [each for each in stem if each.name == wanted.name])

    def find_stem(self, name: str) -> Path:
        """Return the picture of this relative path without suffix; raise as `find` does."""
        wanted = PurePosixPath(name)
        return self._nearest(name, wanted.parent / wanted.name, self._by_stem.get(wanted.name, []))

    def _nearest(self, name: str, wanted: PurePosixPath, found: Sequence[Path]) -> Path:
        """Return the one of `found` whose folders agree the longest with those of `wanted`."""
        folders = wanted.parent.parts[::-1]

        def agreement(path: Path) -> int:
            own = path.parent.parts[::-1]
            alike = [a == b for a, b in zip(folders, own, strict=False)]
            return ([*alike, False]).index(False)

        if not found:
            twins = [each.name for each in self._by_stem.get(wanted.stem, [])]
            there = f", but there is {some(twins)}" if twins else ""
            raise DataError(
                f"its photograph {name!r} is not in {some(self.folders)}{there}; --images DIR names"
                " the folder that it is in"
            )
        best = max(map(agreement, found))
        nearest = [path for path in found if agreement(path) == best]
        if len(nearest) > 1:
            raise DataError(f"its photograph {name!r} may be {some(nearest)}; rename one of them")
        return nearest[0]
