"""`Classes`: the names and colours of a data set's classes, and the files that hold them.

Three kinds of text are read, see `parse_classes`. A ``classes.txt`` has a name in each line, and a
colour after it where one is wanted::

    background
    cell #ff8000
    cell wall 0 128 255

A ``labelmap.txt`` is what CVAT writes beside masks, ``name:red,green,blue::`` in each line. Names
with commas between them, ``background,cell,nucleus``, are given on a command line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from minideconv.data.class_files import (
    Colour,
    Entry,
    is_labelmap,
    labelmap_entries,
    names_and_colours,
)
from minideconv.data.voc_colors import VOC_CLASSES, VOID, voc_palette
from minideconv.errors import DataError

__all__ = [
    "CLASS_FILES",
    "VOC",
    "Classes",
    "find_classes",
    "is_background",
    "is_ignored",
    "parse_classes",
    "read_classes",
]

_MOST = VOID
CLASS_FILES = ("classes.txt", "labelmap.txt", "class_names.txt", "labels.txt", "class_dict.csv")
_FOLDERS = ("", "ImageSets/Segmentation")
_BACKGROUND = ("background", "_background_", "__background__")
_IGNORED = ("__ignore__", "_ignore_")
_LARGEST_FILE = 1 << 20


@dataclass(frozen=True, init=False, eq=False)
class Classes:
    """The classes of a data set: class ``k`` has ``names[k]``, and is shown in ``colours[k]``.

    Parameters
    ----------
    names : sequence of str
        From 1 to 255 different names. The first is the background, if there is one.
    colours : (n, 3) array of uint8, or sequence of (red, green, blue) or None, optional
        None, and where one is None: a colour of VOC's palette that no other class has.
    void : (red, green, blue), optional
        The colour of index 255, of pixels that belong to no class; VOC's if left out.
    note : str
        A remark about the text that they were read from.

    Attributes
    ----------
    names : tuple of str
    colours : (n, 3) array of uint8, read-only
    void : (red, green, blue)
    note : str
    chosen : bool
        Whether colours were given, so that those of a mask's own palette must agree with them.

    Raises
    ------
    DataError
        If there is no class or there are too many, a name is empty or there twice, or two classes
        have one colour.

    Examples
    --------
    >>> classes = Classes(["background", "cell"])
    >>> classes.names, classes.colours.tolist()
    (('background', 'cell'), [[0, 0, 0], [128, 0, 0]])
    """

    names: tuple[str, ...]
    colours: np.ndarray
    void: Colour
    note: str
    chosen: bool

    def __init__(
        self, names: Sequence[str], colours: Any = None, void: Any = None, note: str = ""
    ) -> None:
        if not 1 <= len(names) <= _MOST:
            raise DataError(
                f"there are {len(names)} classes; there must be 1 to {_MOST}, because a mask has"
                f" 8 bits a pixel and {VOID} is void"
            )
        for index, name in enumerate(names):
            if not isinstance(name, str) or not name.strip() or not name.isprintable():
                raise DataError(f"class {index} is called {name!r}; a name must be a line of text")
            if names.index(name) < index:
                raise DataError(
                    f"classes {names.index(name)} and {index} are both called {name!r}; "
                    "names must be different"
                )
        given = [None] * len(names) if colours is None else list(colours)
        if len(given) != len(names):
            raise DataError(f"there are {len(names)} classes but {len(given)} colours")
        wanted = [
            None if colour is None else _colour(name, colour)
            for name, colour in zip(names, given, strict=True)
        ]
        found, own_void = _completed(names, wanted, None if void is None else _colour("void", void))
        table = np.array(found, np.uint8).reshape(-1, 3)
        table.setflags(write=False)
        chosen = any(colour is not None for colour in wanted)
        values = {"names": tuple(names), "colours": table, "void": own_void, "note": note}
        for field, value in {**values, "chosen": chosen}.items():
            object.__setattr__(self, field, value)

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Classes):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return self._key().__hash__()

    def _key(self) -> tuple[Any, ...]:
        return self.names, self.colours.tobytes(), self.void

    def palette(self) -> np.ndarray:
        """Return the colours of all indices, (256, 3) uint8: VOC's where there is no class."""
        palette = voc_palette()
        palette[: len(self)] = self.colours
        palette[VOID] = self.void
        return palette

    def text(self) -> str:
        """Return the content of a ``classes.txt``.

        `parse_classes` reads it as these classes, if the first is the background.
        """
        lines = [_hex(self.void, "__ignore__")] if self.void != _VOID_COLOUR else []
        lines += [
            _hex(tuple(colour), name)
            for name, colour in zip(self.names, self.colours.tolist(), strict=True)
        ]
        return "".join(f"{line}\n" for line in lines)

    def to_dict(self) -> dict[str, Any]:
        """Return names and colours as plain JSON, for a checkpoint's header."""
        found: dict[str, Any] = {"classes": list(self.names)}
        if self.chosen and self != VOC:
            found |= {"class_colours": self.colours.tolist(), "void_colour": list(self.void)}
        return found

    @classmethod
    def from_dict(cls, header: Mapping[str, Any]) -> Classes:
        """Undo `to_dict`; without colours, as in older checkpoints, they are VOC's.

        Raises
        ------
        DataError
            If the names are none, or their colours are not.
        """
        names, colours = header["classes"], header.get("class_colours")
        for what, value in (("classes", names), ("class_colours", colours)):
            if not isinstance(value, list) and not (value is None and colours is None):
                raise DataError(f"{what} is {type(value).__name__}; it must be a list")
        if names == list(VOC_CLASSES) and colours is None:
            return VOC
        void = header.get("void_colour")
        return cls(tuple(names), colours, void)


_VOID_COLOUR: Colour = tuple(voc_palette()[VOID].tolist())


def _colour(name: str, colour: Any) -> Colour:
    """Return a colour as three numbers."""
    try:
        values = [int(value) for value in colour]
        right = len(values) == 3 and all(v == w for v, w in zip(values, colour, strict=True))
    except (TypeError, ValueError, OverflowError):
        right = False
    if not right or not all(0 <= value <= 255 for value in values):
        raise DataError(
            f"the colour of {name} is {colour!r}; it must be red, green and blue from 0 to 255"
        )
    return values[0], values[1], values[2]


def _completed(
    names: Sequence[str], wanted: Sequence[Colour | None], void: Colour | None
) -> tuple[list[Colour], Colour]:
    """Give each class without a colour one that is free, void too; refuse one for two."""
    owners: dict[Colour, str] = {}
    for name, colour in [*zip(names, wanted, strict=True), ("void", void)]:
        if colour is None:
            continue
        if colour in owners:
            raise DataError(
                f"{owners[colour]} and {name} both have the colour {_hex(colour)}; a mask could"
                " not tell them apart"
            )
        owners[colour] = name
    own = [tuple(colour) for colour in voc_palette().tolist()]
    colours = list(wanted)

    # Void and each class have their own index's colour if it is free: void first, since no class
    # is to have its colour without asking for it. Others then have the first that is free.
    for first in (True, False):
        for index in (VOID, *range(len(names))):
            if (void if index == VOID else colours[index]) is not None:
                continue
            free = [each for each in ([own[index]] if first else own) if each not in owners]
            if not free:
                continue
            owners[free[0]] = f"index {index}"
            if index == VOID:
                void = free[0]
            else:
                colours[index] = free[0]
    return cast("list[Colour]", colours), cast("Colour", void)


def _hex(colour: Sequence[int], name: str = "") -> str:
    red, green, blue = colour
    return f"{name} #{red:02x}{green:02x}{blue:02x}".strip()


VOC = Classes(VOC_CLASSES, voc_palette()[: len(VOC_CLASSES)])
"""The classes of PASCAL VOC: 20 and the background."""


def is_background(name: str) -> bool:
    """Whether programs call the background so: ``background``, labelme's ``_background_``."""
    return name.lower() in _BACKGROUND


def is_ignored(name: str) -> bool:
    """Whether a label means void: labelme's ``__ignore__``."""
    return name.lower() in _IGNORED


# -- Files and texts ----------------------------------------------------------------------------


def find_classes(root: str | Path) -> Path | None:
    """Return the file beside a set's image lists that names its classes, or None.

    ``classes.txt``, else CVAT's ``labelmap.txt``, else labelme's ``class_names.txt`` or
    ``labels.txt``, else CamVid's ``class_dict.csv``, in the folder itself or in
    ``ImageSets/Segmentation``.
    """
    for name in CLASS_FILES:
        for folder in _FOLDERS:
            path = Path(root) / folder / name
            if path.is_file():
                return path
    return None


def read_classes(text: str | Path) -> Classes:
    """Read classes from a file, or from names with commas between them.

    Parameters
    ----------
    text : str or Path
        A `Path` is a file. A `str` is a file if there is one of that name, else it is names; one
        name alone stands for an object and the background. A `str` of several lines is what is in
        a file.

    Raises
    ------
    DataError
        If the file cannot be read, or what it holds are no classes; the message names it.
    """
    if isinstance(text, str) and "\n" in text:
        return parse_classes(text)
    if isinstance(text, str) and not _is_file(text):
        if "," not in text and (re.search(r"[/\\]", text) or re.search(r"\.\w+$", text)):
            raise DataError(f"{text} is no file, and no names with commas between them")
        names = [name.strip() for name in text.split(",")]
        if not all(names):
            raise DataError(
                f"{text!r} names nothing, or nothing between two commas; it must be a file, or"
                " names like background,cell"
            )
        return _classes([(name, None) for name in names])
    path = Path(text)
    try:
        if not path.is_file():
            raise DataError(f"{path} is missing, or no file")
        if path.stat().st_size > _LARGEST_FILE:
            raise DataError(f"{path} is larger than 1 MiB; it is no list of classes")
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise DataError(f"{path} cannot be read: {reason}") from error
    try:
        return parse_classes(content)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # a list of many names is too long for the name of a file
        return False


def parse_classes(text: str) -> Classes:
    """Read the content of a ``classes.txt`` or a ``labelmap.txt``.

    In a ``classes.txt`` a colour is ``#rrggbb``, or red, green and blue from 0 to 255, behind the
    name or before it. Lines that begin with ``#`` and a space are not counted. The first name is
    the background; where it is another class, a background is put before it, and the note says so.
    labelme's ``_background_`` is the background, and its ``__ignore__`` is void, which may have a
    colour as well but is no class.

    A ``labelmap.txt`` says which colour a class has, and not which index; its background comes
    first, wherever it stands.

    Raises
    ------
    DataError
        If a line is none of this.
    """
    if not is_labelmap(text):
        return _classes(names_and_colours(text))
    entries = labelmap_entries(text)
    first = [entry for entry in entries if entry[0].lower() in _BACKGROUND]
    return _classes(first + [entry for entry in entries if entry not in first])


def _classes(entries: Sequence[Entry]) -> Classes:
    """Make classes of names and colours as they were read."""
    void = next((colour for name, colour in entries if name.lower() in _IGNORED), None)
    kept = [(name, colour) for name, colour in entries if name.lower() not in _IGNORED]
    if not kept:
        raise DataError("it names no class")
    note = ""
    if kept[0][0].lower() in _BACKGROUND:
        kept[0] = ("background", kept[0][1])
    else:
        note = (
            f"note: the first class is {kept[0][0]!r}, so a background was put before it: index 0"
            f" is the background, 1 is {kept[0][0]!r}"
        )
        if again := [name for name, _ in kept if is_background(name)]:
            raise DataError(
                f"{again[0]} is not the first class; index 0 is the background, so it must be"
            )
        kept.insert(0, ("background", None))
    names, colours = zip(*kept, strict=True)
    given = None if all(colour is None for colour in colours) else list(colours)
    return Classes(names, given, void, note)
