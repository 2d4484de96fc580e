"""Download a file: resumed where it broke off, checked, under its name only when it is whole."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from minideconv.errors import DataError

__all__ = ["digest_of", "download"]

_CHUNK = 1 << 20
_TIMEOUT = 60  # seconds without a byte


def download(
    url: str,
    path: Path,
    algorithm: str,
    checksum: str,
    say: Callable[[str], None] = print,
    megabytes: int | None = None,
) -> None:
    """Get the bytes that an earlier try has not left behind, and check the whole.

    What has come so far is beside `path`, with ``.part`` behind the name.

    Parameters
    ----------
    url : str
        Where it is.
    path : Path
        Where it goes, in a folder that exists.
    algorithm, checksum : str
        ``md5`` or another of hashlib's, and what it must give, in hexadecimal. Some publishers give
        the beginning alone, and then only that is compared; nothing is, if it is empty.
    say : callable
        Takes lines about how it goes.
    megabytes : int, optional
        About how large it is.

    Raises
    ------
    DataError
        If the server cannot be reached or the connection breaks, which leaves the part, or the
        checksum is wrong, which deletes it.
    OSError
        If the disk is full.
    """
    part = path.with_name(f"{path.name}.part")
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    size = f" (about {megabytes} MB)" if megabytes else ""
    say(f"Downloading {url}{size}" + (", going on ..." if have else " ..."))
    total, broken = 0, None
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            if answer.status != 206:  # the server does not resume: start again
                have = 0
            total = have + int(answer.headers.get("Content-Length", 0))
            with part.open("ab" if have else "wb") as file:
                while block := answer.read(_CHUNK):
                    file.write(block)
                    before, have = have, have + len(block)
                    if before * 10 // max(1, total) < have * 10 // max(1, total):
                        say(f"  {have / 1e6:.0f} of {total / 1e6:.0f} MB")
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:  # 416: nothing is left to send
            raise DataError(f"download: {url} answered {error.code} {error.reason}") from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        broken = str(error)
    if broken is not None or have < total:
        raise DataError(
            f"download: {url} broke off after {have / 1e6:.1f} MB"
            f" ({broken or 'the connection was closed early'});"
            " run the same command again to go on from there"
        )
    found = digest_of(part, algorithm)
    if not found.startswith(checksum):
        part.unlink()
        raise DataError(
            f"download: what {url} sent has the checksum {found} instead of {checksum}; it was"
            " deleted, so run the same command again"
        )
    part.replace(path)


def digest_of(path: Path, algorithm: str) -> str:
    """Return a file's checksum in hexadecimal, by the name of one of hashlib's algorithms."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return digest.hexdigest()
