"""Fetch PASCAL VOC: the official archive, checked by its checksum, resumed where it broke off."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from minideconv.errors import DataError, UsageError
from minideconv.files.download import digest_of, download

__all__ = ["ARCHIVES", "Archive", "download_voc"]


class Archive(NamedTuple):
    """An official archive: where it is, what it weighs, and the folder it unpacks to."""

    url: str
    md5: str
    megabytes: int
    folder: str


_HOST = "http://host.robots.ox.ac.uk/pascal/VOC"
ARCHIVES = {
    "voc2012": Archive(
        f"{_HOST}/voc2012/VOCtrainval_11-May-2012.tar",
        "6cd6e144f989b92b3379bac3b3de84fd",
        2000,
        "VOCdevkit/VOC2012",
    ),
    "voc2007": Archive(
        f"{_HOST}/voc2007/VOCtrainval_06-Nov-2007.tar",
        "c52e279531787c972589f7e41ab4ae64",
        460,
        "VOCdevkit/VOC2007",
    ),
}


def download_voc(name: str, root: str | Path, say: Callable[[str], None] = print) -> Path:
    """Download and unpack an archive of `ARCHIVES` below `root`; return the VOC folder.

    What is there already is not fetched again: neither the unpacked folder, nor the archive, nor
    the part of it that an earlier try left behind. The folder appears only when it is complete.

    Raises
    ------
    UsageError
        If `name` is unknown.
    DataError
        If the server cannot be reached, the connection breaks, the checksum is wrong, the disk is
        full, or the archive holds paths that lead outside of it.
    """
    if name not in ARCHIVES:
        raise UsageError(f"download: {name!r} is unknown; there are {', '.join(ARCHIVES)}")
    archive, root = ARCHIVES[name], Path(root)
    folder = root / archive.folder
    if folder.is_dir():
        say(f"{folder} is there already; nothing to do")
        return folder
    path = root / archive.url.rsplit("/", 1)[1]
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or digest_of(path, "md5") != archive.md5:
            download(archive.url, path, "md5", archive.md5, say, archive.megabytes)
        say(f"Unpacking {path} ...")
        _unpack(path, archive, root)
    except OSError as error:
        raise DataError(f"download: {root} cannot be written ({error})") from error
    say(f"{folder} is ready; {path} may be deleted")
    return folder


def _unpack(path: Path, archive: Archive, root: Path) -> None:
    """Unpack into a folder beside the final one, then rename: it is there whole or not at all."""
    folder = root / archive.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder.parent) as scratch:
        try:
            with tarfile.open(path) as tar:
                # Python 3.11.4 and later; what earlier ones rely on is the check below.
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                for member in tar:
                    _refuse_outside(member, path)
                    tar.extract(member, scratch)
        except (tarfile.TarError, EOFError) as error:
            raise DataError(f"download: {path} cannot be unpacked ({error})") from error
        unpacked = Path(scratch) / archive.folder
        if not unpacked.is_dir():
            raise DataError(f"download: {path} holds no folder {archive.folder}")
        unpacked.rename(folder)  # if another process was quicker: an error, and not a folder in it


def _refuse_outside(member: tarfile.TarInfo, path: Path) -> None:
    parts = Path(member.name).parts
    if not (member.isfile() or member.isdir()) or ".." in parts or Path(member.name).is_absolute():
        raise DataError(
            f"download: {path} holds {member.name!r}, which is a link, a device or leads outside of"
            " the folder; nothing was unpacked"
        )
