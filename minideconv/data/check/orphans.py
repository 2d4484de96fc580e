"""Files that belong to no item of any list: `orphans`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minideconv.data.check.findings import Finding, are
from minideconv.data.check.looking import places
from minideconv.errors import some

__all__ = ["orphans"]

_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def orphans(lists: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a remark about photographs that no list names, and one about masks without any.

    Photographs and masks are looked for in the folders of those that the lists name. A mask whose
    photograph is not there can be found only where both have the same name, as in VOC.
    """
    pairs = [
        (whole.image_path(index), whole.mask_path(index))
        for dataset in lists.values()
        for whole, index in places(dataset)
    ]
    images = {image for image, _ in pairs}
    masks = {mask for _, mask in pairs if mask is not None}
    there = [*_pictures({path.parent for path in images})]
    unlisted = sorted(path.name for path in there if path not in images)
    names = tuple(lists)
    if unlisted:
        text = f"{are(len(unlisted), 'photograph')} in none of the lists: {some(unlisted)}"
        yield Finding("unlisted", names, tuple(unlisted), text)
    if not masks or any(mask is None or image.stem != mask.stem for image, mask in pairs):
        return
    photographs = {path.stem for path in there}
    lonely = sorted(
        path.name
        for path in _pictures({path.parent for path in masks})
        if path.stem not in photographs and path not in masks
    )
    if lonely:
        text = f"{are(len(lonely), 'mask')} without a photograph: {some(lonely)}"
        yield Finding("orphan", names, tuple(lonely), text)


def _pictures(folders: set[Path]) -> Iterator[Path]:
    for folder in sorted(folders):
        if folder.is_dir():
            yield from (path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS)
