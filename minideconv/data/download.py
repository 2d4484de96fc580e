"""Fetch PASCAL VOC: the official archive, checked by its checksum, resumed where it broke off."""

from __future__ import annotations

import hashlib
import importlib
import os
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from minideconv.errors import DataError, UsageError

__all__ = ["ARCHIVES", "Archive", "download_voc"]

_CHUNK = 1 << 20
_TIMEOUT = 60  # seconds without a byte


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
        If `name` is unknown or the download library is not installed.
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
    try:
        root.mkdir(parents=True, exist_ok=True)
        path = _fetch(archive, root, say)
        say(f"Unpacking {path} ...")
        _unpack(path, archive, root)
    except OSError as error:
        raise DataError(f"download: {root} cannot be written ({error})") from error
    say(f"{folder} is ready; {path} may be deleted")
    return folder


def _fetch(archive: Archive, root: Path, say: Callable[[str], None]) -> Path:
    try:
        pooch: Any = importlib.import_module("pooch")
    except ImportError as error:
        raise UsageError(
            "download: the download library pooch is not installed;"
            f" pip install 'minideconv[data]', or fetch {archive.url} by other means and unpack it"
        ) from error
    filename = archive.url.rsplit("/", 1)[1]
    part = root / f"{filename}.part"

    def downloader(url: str, output_file: str, _: Any) -> None:
        _resume(url, part, archive, say)
        _check(part, archive)  # before pooch does, to be able to say what to do
        os.replace(part, output_file)

    pooch.get_logger().setLevel("WARNING")
    known = f"md5:{archive.md5}"
    found = pooch.retrieve(archive.url, known, filename, root, downloader=downloader)
    return Path(found)


def _resume(url: str, part: Path, archive: Archive, say: Callable[[str], None]) -> None:
    """Get the bytes of `url` that `part` does not hold yet."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    say(
        f"Downloading {url} (about {archive.megabytes} MB)" + (", going on ..." if have else " ...")
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            if have and answer.status != 206:  # the server does not resume: start again
                have = 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            with open(part, "ab" if have else "wb") as file:
                _copy(answer, file, have, total, say)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left to send
            return
        raise DataError(f"download: {url} answered {error.code} {error.reason}") from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise _broken(url, part, error) from error
    if total is not None and part.stat().st_size < total:
        raise _broken(url, part, "the connection was closed early")


def _copy(answer: Any, file: Any, done: int, total: int | None, say: Callable[[str], None]) -> None:
    told = 0
    while block := answer.read(_CHUNK):
        file.write(block)
        done += len(block)
        if total and done * 10 // total > told:
            told = done * 10 // total
            say(f"  {done / 1e6:.0f} of {total / 1e6:.0f} MB")


def _broken(url: str, part: Path, reason: object) -> DataError:
    have = part.stat().st_size / 1e6 if part.is_file() else 0.0
    return DataError(
        f"download: {url} broke off after {have:.1f} MB ({reason});"
        " run the same command again to go on from there"
    )


def _check(part: Path, archive: Archive) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with open(part, "rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    if digest.hexdigest() != archive.md5:
        part.unlink()
        raise DataError(
            f"download: what {archive.url} sent has the checksum {digest.hexdigest()} instead of"
            f" {archive.md5}; it was deleted, so run the same command again"
        )


def _unpack(path: Path, archive: Archive, root: Path) -> None:
    """Unpack into a folder beside the final one, then rename: it is there whole or not at all."""
    folder = root / archive.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder.parent) as scratch:
        try:
            with tarfile.open(path) as tar:
                for member in tar:
                    _refuse_outside(member, path)
                    tar.extract(member, scratch, **_filter())
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


def _filter() -> dict[str, Any]:
    # Python 3.11.4 and later; the check above is what earlier ones rely on.
    return {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
