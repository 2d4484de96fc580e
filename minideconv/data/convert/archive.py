"""A zip archive of anybody's, unpacked within bounds: `unpack`."""

from __future__ import annotations

import errno
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from minideconv.data.lists import IMAGE_SUFFIXES, MASK_SUFFIXES
from minideconv.errors import DataError

__all__ = ["is_archive", "unpack"]

_MOST_FILES = 200_000
_ALWAYS = 1 << 30  # bytes unpacked that any archive may have
_SQUEEZED = 100  # a larger one may have so many times its own: pictures are squeezed already
_CHUNK = 1 << 20
_WANTED = (".json", ".txt", *IMAGE_SUFFIXES, *MASK_SUFFIXES)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError
)  # fmt: skip


def is_archive(path: Path) -> bool:
    """Whether a file calls itself a zip archive."""
    return path.suffix.lower() == ".zip"


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack the pictures, JSON and text files of a zip archive.

    Every entry is looked at before the first is written. An archive is refused that names a file
    outside of the folder or twice, holds a link or a device, is encrypted, or has more than 1 GiB
    unpacked and more than 100 times its own bytes, as its header says and as its bytes say.

    Parameters
    ----------
    archive : Path
    folder : Path
        Where to put them, which is empty.

    Returns
    -------
    Path
        The folder, or the one that all files are in.

    Raises
    ------
    DataError
        One sentence, with the archive's name.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            for entry, place in _checked(archive, file.infolist()):
                _write(file, entry, folder / place)
    except DataError:
        raise
    except _BROKEN as error:
        # Of the disk, if it has a number; else of the archive.
        reason = getattr(error, "strerror", None) or "it is damaged, cut off or no zip archive"
        raise DataError(f"{archive} cannot be unpacked: {reason}") from error
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _checked(
    archive: Path, entries: list[zipfile.ZipInfo]
) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """Return the entries that are wanted, and where each goes."""
    if len(entries) > _MOST_FILES:
        raise DataError(f"{archive} holds {len(entries)} files; legal are {_MOST_FILES}")
    found: dict[str, tuple[zipfile.ZipInfo, PurePosixPath]] = {}
    for entry in entries:
        name = entry.filename
        place = PurePosixPath(name.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or PureWindowsPath(name).drive:
            raise DataError(f"{archive} holds {name!r}, which would lie outside of its folder")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"{archive} holds {name!r}, which is a link or a device, and no file")
        if entry.is_dir() or place.suffix.lower() not in _WANTED or _hidden(place):
            continue
        if entry.flag_bits & 1 or entry.compress_type not in _METHODS:
            raise DataError(f"{archive} holds {name!r}, which is encrypted or of an unknown method")
        if str(place) in found:
            raise DataError(f"{archive} holds {name!r} twice")
        found[str(place)] = (entry, place)
    total = sum(entry.file_size for entry, _ in found.values())
    legal = max(_ALWAYS, _SQUEEZED * archive.stat().st_size)
    if total > legal:
        raise DataError(f"{archive} has {total} bytes unpacked; legal are {legal} at its size")
    return list(found.values())


def _hidden(place: PurePosixPath) -> bool:
    """Whether it is one of the files that macOS puts into archives, or otherwise hidden."""
    return any(part.startswith((".", "__MACOSX")) for part in place.parts)


def _write(file: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(path.parent).free < entry.file_size:
        raise OSError(errno.ENOSPC, "the disk is full")
    left = entry.file_size
    with file.open(entry) as source, path.open("xb") as target:
        while block := source.read(_CHUNK):
            left -= len(block)
            if left < 0:
                raise zipfile.BadZipFile("an entry is larger than its header says")
            target.write(block)
