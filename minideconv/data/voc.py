"""`VOCSegmentation`: the segmentation task of a folder in VOCdevkit's layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minideconv.data.classes import Classes, read_classes
from minideconv.data.layouts import LAYOUTS, Located, locate
from minideconv.data.segmentation_folder import SegmentationFolder
from minideconv.errors import DataError
from minideconv.settings.run import DataSettings

__all__ = ["VOCSegmentation", "find_voc", "open_folder"]

_FOLDERS = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
_PLACES = LAYOUTS["voc"].places


def find_voc(root: str | Path, folders: Sequence[str] = _FOLDERS) -> Path:
    """Find the folder that holds JPEGImages, SegmentationClass and ImageSets/Segmentation.

    Parameters
    ----------
    root : str or Path
        That folder itself (VOC2012), VOCdevkit around it, or the folder around VOCdevkit.
    folders : sequence of str
        Which folders it must hold.

    Raises
    ------
    DataError
        If none of these has the folders; the message lists the places looked at.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"VOC: {root} is not a folder; it must be a VOCdevkit folder")
    places = [root / place for place in _PLACES]
    missing = {p: [folder for folder in folders if not (p / folder).is_dir()] for p in places}
    best = min(places, key=lambda place: len(missing[place]))
    if not missing[best]:
        return best
    if len(missing[best]) < len(folders):
        raise DataError(
            f"VOC: {best} has no folder {' and no '.join(missing[best])};"
            f" VOCdevkit's layout needs {', '.join(folders)}"
        )
    raise DataError(
        f"VOC: no VOCdevkit layout under {root}; looked for {', '.join(folders)}"
        f" in {root} itself and in {', '.join(_PLACES[1:])} below it"
    )


class VOCSegmentation(SegmentationFolder):
    """Photographs and class masks of PASCAL VOC, or of any set laid out like it.

    Parameters
    ----------
    root : VOC2012 itself, VOCdevkit, or the folder around it (see `find_voc`).
    split : name of a list in ImageSets/Segmentation: "train", "val", "trainval", ...
    cache_mb : decoded files are kept in memory, up to so many MiB; 0 decodes at each access.
    classes : if left out, those of a file in the folder (`find_classes`), or else VOC's own.

    Notes
    -----
    Masks are palette PNGs whose *index* is the class, of VOC's own 0 background, 1..20 the classes
    of `VOC_CLASSES`, 255 void; see `SegmentationFolder` for all else.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        cache_mb: float = 512,
        classes: Classes | None = None,
    ) -> None:
        super().__init__(root, split, "voc", classes, cache_mb)

    def _locate(self, root: Path, split: str) -> Located:
        return locate(find_voc(root), split, self._form)


def open_folder(settings: DataSettings, split: str, cache_mb: float = 512) -> SegmentationFolder:
    """Open the image list `split` of the folder that settings name.

    Raises
    ------
    DataError
        If the folder is not in the layout, or has no such list.
    """
    root = Path(settings.data_root or "")
    classes = None if settings.classes is None else read_classes(settings.classes)
    if settings.data == "voc":  # whose folder may be one further up
        return VOCSegmentation(root, split, cache_mb, classes)
    return SegmentationFolder(root, split, settings.data, classes, cache_mb)
