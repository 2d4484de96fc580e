"""What was found at earlier looks, kept in the user's cache: `KeptLooks`.

A look is kept under a digest of all that it depends on: both files' paths, numbers, sizes and
times; the classes and how masks are read; Pillow's version. A file that was changed, replaced or
restored has another time of change, which no program can set, so its look is not found and it is
read again. Looks of other code than this version's are in another file. A file carries a digest of
its own: one that is damaged or half written is not believed, and costs time and nothing more.

Times have steps, of milliseconds or of two seconds as the file system has it. A file that was
changed within the same step after it was read would look the same, so a look at a file that had
just been changed is not kept.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

import PIL

from minideconv.data.check.look import Look
from minideconv.files.atomic import replace_file
from minideconv.files.caches import cache_folder

__all__ = ["KeptLooks", "look_key"]

_MOST_FILES = 64
_SETTLED = 2.5  # seconds; FAT keeps times in steps of 2


class KeptLooks:
    """Looks by their keys, in one file for each set of folders.

    Parameters
    ----------
    name : str
        Of what the looks are, the folder of the data for example; each name has its file.

    Notes
    -----
    That nothing can be read or written is no error: nothing is kept then.
    """

    def __init__(self, name: str) -> None:
        self._path: Path | None = None
        self._looks: dict[str, Look] = {}
        self._fresh: dict[str, Look] = {}
        with contextlib.suppress(OSError, RuntimeError):
            self._path = cache_folder() / "checks" / f"{_digest([name, _code()])}.json"
            self._looks = _read(self._path)

    def __len__(self) -> int:
        return len(self._looks)

    def get(self, key: str | None) -> Look | None:
        """Return the look of that key, or None."""
        return None if key is None else self._looks.get(key)

    def put(self, key: str | None, look: Look) -> None:
        """Remember a look, until `save` writes it; one without a key is not kept."""
        if key is not None:
            self._fresh[key] = look

    def save(self, used: Iterable[str | None]) -> None:
        """Write the looks of these keys and others still of use, if there are new ones.

        What was kept for files that are no more would never be found again; it goes when the file
        has grown to twice of what is used.
        """
        if self._path is None or not self._fresh:
            return
        self._looks |= self._fresh
        self._fresh = {}
        wanted = {key: self._looks[key] for key in used if key in self._looks}
        if len(self._looks) > 2 * len(wanted):
            self._looks = wanted
        content = {key: look.to_list() for key, look in self._looks.items()}
        body = json.dumps(content, separators=(",", ":")).encode()
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, _checksum(body) + b"\n" + body)
            _prune(self._path.parent)


def _read(path: Path) -> dict[str, Look]:
    digest, _, body = path.read_bytes().partition(b"\n")
    if digest != _checksum(body):
        return {}
    return {key: Look.from_list(values) for key, values in json.loads(body).items()}


def _checksum(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).hexdigest().encode()


def _prune(folder: Path) -> None:
    """Keep the files that were written last."""
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files[_MOST_FILES:]:
        path.unlink(missing_ok=True)


def look_key(paths: Sequence[Path | None], reading: str) -> str | None:
    """Return the digest of all that a look at these files depends on.

    Parameters
    ----------
    paths : sequence of Path or None
        None for a file that there is none of.
    reading : str
        How their contents are understood: the classes, their colours.

    Returns
    -------
    str or None
        None if what is found there must not be kept: a file is missing, or has just been changed.
    """
    parts = [reading, PIL.__version__]
    for path in paths:
        if path is None:
            parts.append("none")
            continue
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        if time.time() - max(found.st_ctime, found.st_mtime) < _SETTLED:
            return None
        numbers = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
        parts += [os.path.abspath(path), repr(numbers)]
    return _digest(parts)


@functools.cache
def _code() -> str:
    """Return a digest of the code by which files are read and understood."""
    here = Path(__file__).parent
    files = [here / "look.py", *sorted(here.parent.glob("*.py"))]
    return _digest([path.read_text(encoding="utf-8") for path in files])


def _digest(parts: Sequence[str]) -> str:
    text = "".join(f"{len(part)} {part}" for part in parts)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
