"""The layouts of folders that hold photographs and masks: `LAYOUTS`, a table, and `locate`.

Another data set is one more row: where its photographs and its masks are, what their names end in,
which number of a mask is which class, and what its classes are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from minideconv.data.classes import CLASS_FILES, VOC, Classes, find_classes, read_classes
from minideconv.data.layout_classes import (
    ADE20K_NUMBERS,
    CAMVID,
    CAMVID_NUMBERS,
    CITYSCAPES,
    CITYSCAPES_NUMBERS,
    ade20k_classes,
)
from minideconv.data.lists import IMAGE_SUFFIXES, MASK_SUFFIXES, ListedFiles
from minideconv.errors import DataError, some
from minideconv.files.inside import refuse_outside
from minideconv.settings.run import DATA, data_of

__all__ = ["LAYOUTS", "Form", "Layout", "Located", "infer_layout", "locate", "split_names"]

_SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation")}


class Form(NamedTuple):
    """Where photographs and masks are: ``{split}`` stands for the name of an image list."""

    images: str
    masks: str
    image_end: str = ""
    """What a photograph's name has between its id and its suffix."""
    mask_end: str = ""


@dataclass(frozen=True)
class Layout:
    """A row of the table.

    Parameters
    ----------
    title : str
        What messages call it.
    forms : sequence of Form
        Where files may be, below one of the `places`; the first that fits counts.
    places : sequence of str
        Folders below the root that may hold it.
    lists : sequence of str
        Folders that may hold the image lists.
    splits : mapping of str to sequence of str
        What ``{split}`` may be for the names of image lists; for another name, that name.
    draws : bool
        Whether photographs without lists and without folders of splits are split here.
    alone : str
        A folder by which it is known even without masks: of what is learned without labels.
    classes : Classes or callable, optional
        Its classes where no others are named; a callable takes the root. None: they must be named.
    numbers : mapping of int to int, optional
        The class of each number of a mask, with those classes; if left out, they are the same.
    """

    title: str
    forms: tuple[Form, ...]
    places: tuple[str, ...] = ("",)
    lists: tuple[str, ...] = ("",)
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _SPLITS, hash=False)
    draws: bool = False
    alone: str = ""
    classes: Classes | Callable[[Path], Classes] | None = None
    numbers: Mapping[int, int] | None = field(default=None, hash=False)

    @property
    def holds(self) -> str:
        """What its folder holds, in words."""
        form = self.forms[-1]
        lists = self.lists[0] if self.lists else ""
        if lists:
            return f"{form.images}, {form.masks} and {lists}"
        return f"{form.images} and {form.masks}"

    def fits(self, root: str | Path) -> bool:
        """Whether a folder holds what this layout has; of VOC's, photographs are enough."""
        root = Path(root)
        return any(True for _ in self.found(root)) or any(
            (root / place / self.alone).is_dir() for place in self.places if self.alone
        )

    def found(self, root: Path) -> Iterator[tuple[Path, Form]]:
        """Yield the folders that hold it, and in which form."""
        for place in self.places:
            for form in self.forms:
                if all(self.any_split(root / place, folder) for folder in form[:2]):
                    yield root / place, form

    def any_split(self, base: Path, folder: str) -> bool:
        """Whether there is a folder for some split, or at all if it does not depend on one."""
        every = (name for names in self.splits.values() for name in names)
        return any((base / folder.replace("{split}", name)).is_dir() for name in every)

    def own_classes(self, root: Path) -> Classes | None:
        """Return the classes that a folder has if no others are named; None: they must be."""
        if self.classes is None or isinstance(self.classes, Classes):
            return self.classes
        return self.classes(root)

    def class_text(self, given: str | None, root: str | Path) -> str | None:
        """Return the classes of a folder as a text that names no file; None for the layout's own.

        A run keeps it, so that it means the same when files have gone or changed.

        Parameters
        ----------
        given : str, optional
            A file or names; if left out, those of a file in the folder (`find_classes`).
        root : str or Path

        Raises
        ------
        DataError
            As `read_classes`.
        """
        source: str | Path | None = given
        if given is None:
            source = next(
                (path for place in self.places if (path := find_classes(Path(root) / place))), None
            )
        if source is None:
            return None
        classes = read_classes(source)
        # A background that was put before them is left out: so it is said wherever they are read.
        names = classes.names[1:] if classes.note else classes.names
        if not classes.chosen and len(names) > 1 and not any("," in name for name in names):
            return ",".join(names)
        lines = classes.text().splitlines() if classes.chosen else list(names)
        if classes.chosen and classes.note:
            lines.remove(next(line for line in lines if line.startswith("background #")))
        return "".join(f"{line}\n" for line in lines)  # never the name of a file


_PAIRS = tuple(
    (images, masks)
    for images in ("images", "image", "imgs", "photos")
    for masks in ("masks", "mask", "labels", "annotations")
)

LAYOUTS: dict[str, Layout] = {
    "voc": Layout(
        "VOC",
        (Form("JPEGImages", "SegmentationClass"),),
        ("", "VOC2012", "VOCdevkit/VOC2012", "VOC2007", "VOCdevkit/VOC2007"),
        lists=("ImageSets/Segmentation",),
        alone="JPEGImages",
        classes=VOC,
    ),
    "cityscapes": Layout(
        "Cityscapes",
        (Form("leftImg8bit/{split}", "gtFine/{split}", "_leftImg8bit", "_gtFine_labelIds"),),
        ("", "cityscapes"),
        lists=(),
        classes=CITYSCAPES,
        numbers=CITYSCAPES_NUMBERS,
    ),
    "ade20k": Layout(
        "ADE20K",
        (Form("images/{split}", "annotations/{split}"),),
        ("", "ADEChallengeData2016"),
        lists=(),
        splits={"train": ("training",), "val": ("validation",)},
        classes=ade20k_classes,
        numbers=ADE20K_NUMBERS,
    ),
    "camvid": Layout(
        "CamVid",
        (Form("{split}", "{split}annot"),),
        ("", "CamVid", "SegNet/CamVid"),
        classes=CAMVID,
        numbers=CAMVID_NUMBERS,
    ),
    "camvid32": Layout("CamVid", (Form("{split}", "{split}_labels", "", "_L"),), ("", "CamVid")),
    "folder": Layout(
        "folder",
        (
            *(Form(images + "/{split}", masks + "/{split}") for images, masks in _PAIRS),
            *(Form("{split}/" + images, "{split}/" + masks) for images, masks in _PAIRS),
            *(Form(images, masks) for images, masks in _PAIRS),
        ),
        lists=("", "ImageSets/Segmentation", "lists", "splits"),
        draws=True,
    ),
}
"""The layouts by the names that ``--data`` takes."""

DATA.update(LAYOUTS)


class Located(NamedTuple):
    """Where the files of a split are."""

    root: Path
    images: ListedFiles
    masks: ListedFiles
    list: Path | None
    """The file that names the split's images."""
    drawn: bool
    """Whether the folder has no splits at all, so that they must be drawn."""


def infer_layout(root: str | Path) -> str:
    """Return the name of the layout that a folder has.

    Raises
    ------
    SettingError
        If it is no folder, or has none of them; the message says what is there.
    """
    return data_of("auto", str(root))


def locate(root: Path, split: str, layout: Layout) -> Located:
    """Find the photographs, masks and the list of a split.

    Raises
    ------
    DataError
        If the folder has not the layout, or there is no such split; the message says what is there.
    """
    if not root.is_dir():
        raise DataError(f"{layout.title}: {root} is not a folder")
    refuse_outside(split, f"{layout.title}: the split")
    base, form = next(layout.found(root), (root, None))
    if form is None:
        first, more = layout.forms[0], len(layout.forms) - 1
        others = f", nor {more} like these" if more else ""
        raise DataError(
            f"{layout.title}: {root} has no folders {first.images} and {first.masks}{others};"
            f" it holds {contents(root)}"
        )
    folders = layout.splits.get(split, (split,))
    named = next((n for n in folders if (base / form.images.replace("{split}", n)).is_dir()), None)
    lists = [base / folder / f"{split}.txt" for folder in layout.lists]
    listed = next((path for path in lists if path.is_file()), None)
    if "{split}" in form.images:
        if named is None:
            raise DataError(
                f"{layout.title}: no split {split!r}: {base} has no folder"
                f" {form.images.replace('{split}', folders[0])}; it holds {contents(base)}"
            )
    elif listed is None:
        there = {path.stem for folder in layout.lists for path in (base / folder).glob("*.txt")}
        if not layout.draws or there & layout.splits.keys():
            raise DataError(
                f"{layout.title}: no split {split!r} ({lists[0]} is missing); the splits are:"
                f" {', '.join(sorted(there)) or 'none'}"
            )
    images, masks = (base / folder.replace("{split}", named or "") for folder in form[:2])
    return Located(
        base,
        ListedFiles(images, IMAGE_SUFFIXES, form.image_end),
        ListedFiles(masks, MASK_SUFFIXES, form.mask_end),
        listed,
        drawn=listed is None and "{split}" not in form.images,
    )


def split_names(root: Path, layout: Layout) -> list[str]:
    """Return the names of the splits that a folder has: those of its lists, or of its folders.

    Raises
    ------
    DataError
        If it has none.
    """
    base, form = next(layout.found(root), (root, None))
    names = {path.stem for folder in layout.lists for path in (base / folder).glob("*.txt")}
    names -= {path.stem for path in (base / name for name in CLASS_FILES)}
    if form is None or "{split}" in form.images:
        images = form.images if form is not None else layout.forms[0].images
        names = {
            name
            for name, folders in {**layout.splits, "test": ("test",)}.items()
            if any((base / images.replace("{split}", folder)).is_dir() for folder in folders)
        }
    elif layout.draws and not names & layout.splits.keys():
        names = set(layout.splits)
    if not names:
        raise DataError(f"{layout.title}: {base} has no image list; it holds {contents(base)}")
    return sorted(names)


def contents(folder: Path, most: int = 6) -> str:
    """Return what a folder holds, in words."""
    return some(sorted(path.name for path in folder.iterdir()), most) or "nothing"
