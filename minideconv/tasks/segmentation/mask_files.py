"""The masks of an evaluation as files, in the folders that PASCAL VOC's evaluation server wants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from minideconv.errors import DataError, UsageError
from minideconv.files.atomic import replace_file
from minideconv.files.inside import inside, refuse_outside
from minideconv.files.outputs import check_outputs, refuse_same_folder

__all__ = ["MaskFiles", "masks_folder"]


def masks_folder(split: str) -> Path:
    """Return the folder of an image list's masks inside an archive for the server.

    comp6 is the competition in which networks may have been trained on other data as well.

    >>> masks_folder("val").as_posix()
    'results/VOC2012/Segmentation/comp6_val_cls'
    """
    return Path("results", "VOC2012", "Segmentation", f"comp6_{split}_cls")


class MaskFiles:
    """One file for each image of an evaluation; where they go is checked before any work.

    Parameters
    ----------
    root : Path
        The folder around all; it need not exist.
    split : str
        The image list's name.
    names : mapping of int to str
        Each image's name, by its number.
    overwrite : bool
        Whether masks that exist may be replaced.
    read : iterable of Path
        Files that must not be written over.
    folders : mapping of str to Path
        Folders that are read, by what names them; none of them is written to.

    Raises
    ------
    UsageError
        If a file would be replaced that may not be, or the folder cannot be made.
    """

    def __init__(
        self,
        root: Path,
        split: str,
        names: Mapping[int, str],
        overwrite: bool,
        read: Iterable[Path] = (),
        folders: Mapping[str, Path] | None = None,
    ) -> None:
        refuse_outside(split, "--split")
        self.folder = root / masks_folder(split)
        self._paths = {index: inside(self.folder, name, ".png") for index, name in names.items()}
        every = list(self._paths.values())
        refuse_same_folder("--save-masks", self.folder, folders or {})
        check_outputs(every, self.folder, overwrite, list(read), "--save-masks")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--save-masks {self.folder}: {error.strerror}") from error

    def save(self, index: int, content: bytes) -> None:
        """Write the mask of an image.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        path = self._paths[index]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)  # of a name that has a folder in it
            replace_file(path, content)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or error}") from error
