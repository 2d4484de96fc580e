r"""Image lists and the files that they name: `read_lines`, `ListedFiles`, `entry_of`.

A list is a text file with an image a line. A line may hold

* an id, ``2007_000032``, or the file's name with its suffix, ``a photo.JPG``;
* a path, of which the part below the folder of photographs counts, from the set's root, from the
  list's folder, or absolute; ``\`` separates folders as ``/`` does;
* an id and -1, 0 or 1, as VOC's lists of one class have it: -1 means that the class is not there,
  and the line is passed over;
* a photograph and its mask, with a tab, a comma or spaces between them.

Names may hold spaces: what a line means is decided by the files that are there. Letters with
accents are the same whether one character or two, as macOS and others write them.
"""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from minideconv.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "MASK_SUFFIXES", "Entry", "ListedFiles", "entry_of", "read_lines"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
"""Of photographs, in any case; of two files of one name the first counts."""
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
"""Of masks: of formats that keep the numbers."""

_LARGEST_LIST = 1 << 28
_MARKS = {"\xff\xfe": "utf-16", "\xfe\xff": "utf-16"}


class Entry(NamedTuple):
    """A line of a list: the image's id, its photograph, and its mask if the line names one."""

    id: str
    image: Path
    mask: Path | None = None


def read_lines(path: Path) -> list[str]:
    """Return the lines of a list that are not empty, whatever program wrote it.

    A byte order mark is left out, of UTF-16 too, and lines end as on any system.

    Raises
    ------
    DataError
        If the file cannot be read as text.
    """
    try:
        if path.stat().st_size > _LARGEST_LIST:
            raise DataError(f"{path} is larger than 256 MiB; it is no image list")
        content = path.read_bytes()
        encoding = _MARKS.get(content[:2].decode("latin-1"), "utf-8-sig")
        text = content.decode(encoding)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    if "\0" in text:
        raise DataError(f"{path} cannot be read as text: it holds zero bytes")
    return [line.strip() for line in re.split(r"\r\n|\r|\n", text) if line.strip()]


class ListedFiles:
    """The pictures of a folder and those below it, by their name without suffix and `end`.

    Parameters
    ----------
    folder : Path
    suffixes : sequence of str
        Those of the files that count; of several files of one name the first suffix's is taken.
    end : str
        What stands between a name and the suffix, ``_leftImg8bit`` for one.
    """

    def __init__(self, folder: Path, suffixes: Sequence[str], end: str = "") -> None:
        self.folder, self.suffixes, self.end = folder, tuple(suffixes), end

    @cached_property
    def _every(self) -> list[str]:
        """All files by their path below the folder, with ``/``."""
        found = []
        for folder, below, names in os.walk(self.folder, followlinks=True):
            below[:] = sorted(name for name in below if not name.startswith("."))
            start = Path(folder).relative_to(self.folder).as_posix()
            prefix = "" if start == "." else f"{start}/"
            found += [prefix + name for name in sorted(names) if not name.startswith(".")]
        return found

    @cached_property
    def _files(self) -> dict[str, str]:
        ranked: dict[str, tuple[int, str]] = {}
        for name in self._every:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() not in self.suffixes or not stem.endswith(self.end):
                continue
            key = unicodedata.normalize("NFC", stem.removesuffix(self.end))
            rank = self.suffixes.index(suffix.lower())
            if key not in ranked or rank < ranked[key][0]:
                ranked[key] = rank, name
        return {key: name for key, (_, name) in ranked.items()}

    def names(self) -> list[str]:
        """Return the names of all pictures, in order."""
        return sorted(self._files)

    def find(self, name: str) -> Path | None:
        """Return the picture of a name, or None."""
        found = self._files.get(unicodedata.normalize("NFC", name))
        return None if found is None else self.folder / found

    def path(self, name: str) -> Path:
        """Return the picture of a name; where there is none, the path that it should have."""
        return self.find(name) or self.folder / f"{name}{self.end}{self.suffixes[0]}"

    def search(self, text: str) -> str | None:
        """Return the name of the picture that a list means: a name, a file's name or a path."""
        text = unicodedata.normalize("NFC", text)
        path = PurePosixPath(text.replace("\\", "/"))
        stem = str(path)
        if os.path.splitext(stem)[1].lower() in self.suffixes:
            stem = os.path.splitext(stem)[0].removesuffix(self.end)
        for name in (text, stem):
            if name in self._files:
                return name
        parts = PurePosixPath(stem).parts
        for place in range(len(parts) - 1, 0, -1):
            if parts[place - 1] == self.folder.name and (
                (name := "/".join(parts[place:])) in self._files
            ):
                return name
        return None

    def instead(self, name: str) -> str:
        """Return what is there in place of a picture that is missing: the end of a sentence."""
        if not self.folder.is_dir():
            return f"there is no folder {self.folder}"
        stem = name.rpartition("/")[2].lower()
        same = [
            each
            for each in self._every
            if os.path.splitext(each)[0].rpartition("/")[2].lower().removesuffix(self.end) == stem
        ]
        if same:
            unread = os.path.splitext(same[0])[1].lower() not in self.suffixes
            kinds = ", ".join(self.suffixes)
            return f"there is {same[0]}" + (f", but {kinds} are read" if unread else "")
        near = difflib.get_close_matches(name, self._files, n=2, cutoff=0.75)
        if near:
            return "near it there is " + " and ".join(self._files[each] for each in near)
        if not self._files:
            other = f", {self._every[0]} for one" if self._every else ""
            kinds = ", ".join(self.suffixes)
            return f"no file of {self.folder} ends in {kinds}; it has {len(self._every)}{other}"
        first = min(self._files)
        return f"{self.folder} has {len(self._files)} pictures, {self._files[first]} for one"


def entry_of(
    line: str, images: ListedFiles, masks: ListedFiles, places: Sequence[Path]
) -> Entry | None:
    """Return what a line of a list means; None if it says that a class is not there.

    Parameters
    ----------
    line : str
    images, masks : ListedFiles
    places : sequence of Path
        The folders from which paths may start.
    """
    if found := _image(line, images, places):
        return Entry(*found)
    rest, _, last = line.replace("\t", " ").rpartition(" ")
    if rest and last in ("-1", "0", "1"):
        if last == "-1":
            return None
        return Entry(*(_image(rest.strip(), images, places) or _absent(rest.strip(), images)))
    columns = ((_image(left, images, places), right) for left, right in _in_two(line))
    there = [(image, right) for image, right in columns if image]
    for image, right in there:
        if mask := _file(right, masks, places):
            return Entry(*image, mask)
    for image, right in there:
        named = os.path.splitext(right)[1].lower() in masks.suffixes
        return Entry(*image, masks.folder / right if named else None)  # a mask that is missing
    return Entry(*_absent(line, images))


def _absent(text: str, images: ListedFiles) -> tuple[str, Path]:
    return text, images.path(text)


def _in_two(line: str) -> Iterator[tuple[str, str]]:
    for place in re.finditer(r"\s*[\t,]\s*|\s+", line):
        yield line[: place.start()].strip('"'), line[place.end() :].strip('"')


def _image(text: str, images: ListedFiles, places: Sequence[Path]) -> tuple[str, Path] | None:
    name = images.search(text)
    if name is not None:
        return name, images.path(name)
    path = _below(text, images.suffixes, places)
    return None if path is None else (path.stem.removesuffix(images.end), path)


def _file(text: str, files: ListedFiles, places: Sequence[Path]) -> Path | None:
    name = files.search(text)
    return _below(text, files.suffixes, places) if name is None else files.path(name)


def _below(text: str, suffixes: Sequence[str], places: Sequence[Path]) -> Path | None:
    """Return the file that a path names from one of the places, or of itself."""
    plain = text.replace("\\", "/")
    if os.path.splitext(plain)[1].lower() not in suffixes:
        return None
    for place in places:
        for name in (plain, plain.lstrip("/")):
            try:
                if (place / name).is_file():
                    return place / name
            except OSError:
                continue
    return None
