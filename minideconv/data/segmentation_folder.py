"""`SegmentationFolder`: photographs and class masks of a folder in one of the `LAYOUTS`."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minideconv.data.classes import Classes, find_classes, read_classes
from minideconv.data.components import connected_components
from minideconv.data.layouts import LAYOUTS, Located, infer_layout, locate
from minideconv.data.listed_images import ListedImages
from minideconv.data.lists import Entry, ListedFiles, entry_of, read_lines
from minideconv.data.masks import read_indices, read_mask, refuse_other_size
from minideconv.data.pictures import read_upright, rgb
from minideconv.data.shown_classes import white_is_an_object
from minideconv.data.voc_colors import VOID
from minideconv.errors import DataError, UsageError
from minideconv.files.inside import inside, refuse_outside

__all__ = ["SegmentationFolder", "entries_of"]

_VAL_SHARE = 5


class SegmentationFolder(ListedImages):
    """Photographs and class masks of a folder.

    Parameters
    ----------
    root : str or Path
        The folder.
    split : str
        The name of an image list: "train", "val", ...
    layout : str, optional
        A name among `LAYOUTS`; that which fits if left out.
    classes : Classes, optional
        If left out, those of a file beside the lists (`find_classes`), or else the layout's own.
    cache_mb : float
        Decoded files are kept in memory, up to so many MiB; 0 decodes at each access.

    Attributes
    ----------
    root : Path
        The folder in which photographs, masks and lists are.
    classes : list of str
        The names of the classes; `class_table` has their colours as well.
    ids : list of str
    note : str
        What is legal but seldom meant, in a sentence.
    remark : str
        The part of the note that a check of the files sets.

    Raises
    ------
    DataError
        If there is no such folder or list, or no classes are named.

    Notes
    -----
    Photographs are turned upright as EXIF has it (`pictures`), and a mask is of the upright
    photograph. What masks may be is in `masks`. A file that is missing, broken, of another size
    than its partner or not certain is a `DataError` that names it, when it is read; `validate()`
    reads them all.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        layout: str | None = None,
        classes: Classes | None = None,
        cache_mb: float = 512,
    ) -> None:
        root = Path(root)
        name = infer_layout(root) if layout is None else layout
        if name not in LAYOUTS:
            raise UsageError(f"layout is {name!r}; it must be one of {', '.join(LAYOUTS)}")
        self.layout, self._form = name, LAYOUTS[name]
        self._title = self._form.title
        located = self._locate(root, split)
        self.root, self.split = located.root, split
        self._images, self._masks = located.images, located.masks
        self.class_table, self._numbers = self._named(classes)
        self.classes = list(self.class_table.names)
        self.num_classes = len(self.classes)
        entries, self._left_out = entries_of(located, split, self._title)
        self._keep(entries, cache_mb)
        self._white: int | None = None if self.num_classes == 2 else VOID
        self.remark = ""

    def _locate(self, root: Path, split: str) -> Located:
        return locate(root, split, self._form)

    def _named(self, given: Classes | None) -> tuple[Classes, dict[int, int] | None]:
        """Return the classes, and the number of each in a mask unless they are the same."""
        if given is not None:
            return given, None
        path = find_classes(self.root)
        if path is not None:
            try:
                return read_classes(path), None
            except DataError as error:
                raise DataError(f"{self._title}: {error}") from error
        found, numbers = self._form.own_classes(self.root), self._form.numbers
        if found is None:
            raise DataError(
                f"{self._title}: what the classes of {self.root} are called is not known; name"
                " them in a file classes.txt there, one a line and the background first, or by"
                " --classes background,NAME,..."
            )
        return found, None if numbers is None else dict(numbers)

    @property
    def note(self) -> str:
        """What is legal but seldom meant, in a sentence; empty if there is nothing."""
        white = ""
        if self._white == 1:
            white = (
                f"note: the masks of split {self.split!r} are black and white; white is read as"
                f" {self.classes[1]!r}"
            )
        notes = (self.class_table.note, self._left_out, white, self.remark)
        return "\n".join(text for text in notes if text)

    @property
    def masks_folder(self) -> Path:
        """The folder of the masks, or around those of several folders."""
        return self._masks.folder

    def mask_path(self, index: int) -> Path:
        """Return the path of item `index`'s class mask."""
        entry = self._entries[index]
        return entry.mask or self._masks.path(entry.id)

    def instance_path(self, index: int) -> Path:
        """Return where item `index`'s instance mask is, if there is one."""
        return inside(self.root / "SegmentationObject", self.ids[index], ".png")

    @property
    def reading(self) -> str:
        """All that decides how the files are understood."""
        return repr((self.layout, self.class_table.text(), self._numbers, self._white_is()))

    def mask(self, index: int) -> np.ndarray:
        """Read the class mask alone: much faster than the pair, for counting classes."""
        return self._read_mask(self.mask_path(index), self._white_is(), self.ids[index])

    def instances(self, index: int) -> np.ndarray:
        """Return (H, W) uint8: 0 background, 1, 2, ... the objects, 255 void.

        Read from SegmentationObject where it is there, else the connected regions of the mask.
        """
        path, mask = self.instance_path(index), self[index][1]
        if not path.is_file():
            return connected_components(mask)
        try:
            instances = read_indices(path)
            refuse_other_size(path, instances.shape, self.mask_path(index), mask.shape)
        except DataError as error:
            raise DataError(f"{self._title}: {error}") from error
        return instances

    def validate(self) -> list[str]:
        """Read every pair of the split; return one sentence for each file that is bad."""
        from minideconv.data.check import examine  # it is not needed to read images

        return [fault.text for fault in examine({self.split: self}).faults]

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        path = self.image_path(index)
        try:
            self._refuse_missing(path, self._images, self.ids[index])
            photograph = read_upright(path)
            image = rgb(path, photograph.upright)
            mask = self.mask(index)
            refuse_other_size(
                self.mask_path(index), mask.shape, path, image.shape[:2], photograph.orientation
            )
        except DataError as error:
            raise self._titled(error) from error
        return image, mask

    def _white_is(self) -> int:
        """Return what 255 is: void, or the object where two classes are drawn black and white."""
        if self._white is None:
            paths = [self.mask_path(index) for index in range(len(self))]
            names = dict(zip(paths, self.ids, strict=True))
            white = white_is_an_object(paths, lambda p: self._read_mask(p, VOID, names[p]))
            self._white = 1 if white else VOID
        return self._white

    def _read_mask(self, path: Path, white: int, name: str) -> np.ndarray:
        try:
            self._refuse_missing(path, self._masks, name)
            return read_mask(path, self.class_table, self._numbers, white)
        except DataError as error:
            raise self._titled(error) from error

    def _titled(self, error: DataError) -> DataError:
        title = f"{self._title}: "
        return error if str(error).startswith(title) else DataError(title + str(error))

    @staticmethod
    def _refuse_missing(path: Path, files: ListedFiles, name: str) -> None:
        """Refuse a file that is not there, and say what is."""
        try:
            there = path.exists() or path.is_symlink()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        if not there:
            raise DataError(f"{path} is missing; {files.instead(name)}")


def entries_of(located: Located, split: str, title: str) -> tuple[list[Entry], str]:
    """Return the images of a split, and a remark about those that are left out, or "".

    Without a list these are the photographs of the split's folder that have a mask. Without such
    a folder either, a fifth of all, at least one, is for validation: those whose names have the
    lowest checksums, so that it is the same fifth in every run.

    Raises
    ------
    DataError
        If there is none.
    """
    images, masks = located.images, located.masks
    if located.list is not None:
        places = [located.root, located.list.parent, Path()]
        try:
            lines = read_lines(located.list)
        except DataError as error:
            raise DataError(f"{title}: {error}") from error
        found = [entry_of(line, images, masks, places) for line in lines]
        entries = [entry for entry in found if entry is not None]
        for entry in entries:
            refuse_outside(entry.id, f"{title}: {located.list}")
            if masks.folder in entry.image.parents and images.folder not in entry.image.parents:
                raise DataError(
                    f"{title}: {located.list} names {entry.image} as a photograph, which is in the"
                    " folder of the masks; a line names the photograph first"
                )
        if not entries:
            raise DataError(f"{title}: {located.list} lists no image")
        return entries, ""
    names = images.names()
    with_mask = [name for name in names if masks.find(name) is not None]
    if not with_mask:
        why = "it is empty"
        if names:
            why = f"none of the {len(names)} has a mask in {masks.folder}"
            if there := masks.names():
                why += (
                    f", where {masks.path(there[0]).name} is for one; a mask has the name of its"
                    f" photograph{f', and {masks.end}' if masks.end else ''}"
                )
        raise DataError(f"{title}: {images.folder} has no photograph that can be used: {why}")
    without = sorted(set(names) - set(with_mask))
    remark = ""
    if without:
        remark = (
            f"note: {len(without)} of {len(names)} photographs have no mask in {masks.folder} and"
            f" are left out, {without[0]} for one"
        )
    chosen = _drawn(with_mask, split, title) if located.drawn else with_mask
    return [Entry(name, images.path(name)) for name in chosen], remark


def _drawn(names: Sequence[str], split: str, title: str) -> list[str]:
    """Return the part of the names that belongs to a split."""
    if split not in ("train", "val"):
        raise DataError(
            f"{title}: no split {split!r}; without image lists the splits are train and val"
        )
    if len(names) < 2:
        raise DataError(f"{title}: there is one photograph, {names[0]}; two splits need two")
    order = sorted(names, key=lambda name: (zlib.crc32(name.encode()), name))
    held_out = set(order[: max(1, len(names) // _VAL_SHARE)])
    return [name for name in names if (name in held_out) == (split == "val")]
