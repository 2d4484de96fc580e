"""Machine code kept on disk, as numba keeps it, but such that a bad disk costs time alone.

numba writes what it has compiled beside the source file, or into the user's cache folder, and its
next process loads it. Where nothing can be written it refuses to define the function; a damaged
file ends the program with an error of the parser, or is run as the machine code that it no longer
is. Here

* without a folder that can be written to, nothing is kept;
* each file begins with the SHA-256 of the rest, and is believed only if that is right;
* what cannot be read is compiled again, and what cannot be written is not kept.

Each is said once in a process, on the logger ``minideconv``.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
from collections.abc import Callable
from typing import Any

from numba.core import caching

__all__ = ["NOT_KEPT", "KernelCache", "make_cache"]

_DIGEST = hashlib.sha256().digest_size

NOT_KEPT: list[str] = []
"""Why machine code is not kept on disk; empty if it is."""


class _File(caching.IndexDataCacheFile):
    """The files of one function: an index, and machine code for each combination of types."""

    def _load_index(self) -> dict[Any, str]:
        try:
            version, stamp, overloads = pickle.loads(_read(self._index_path))
        # Not there, not readable, damaged, or of numba classes that have another form by now.
        except Exception:
            return {}
        fresh = version == self._version and stamp == self._source_stamp
        return overloads if fresh else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._write(self._index_path, self._dump((self._version, self._source_stamp, overloads)))

    def _load_data(self, name: str) -> Any:
        return pickle.loads(_read(self._data_path(name)))

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), self._dump(data))

    def _write(self, path: str, content: bytes) -> None:
        with self._open_for_write(path) as file:
            file.write(hashlib.sha256(content).digest() + content)


def _read(path: str) -> bytes:
    """Return the content of a file that is whole; an OSError, which stands for "none", if not."""
    if not os.path.isfile(path):  # a pipe would never end
        raise FileNotFoundError(path)
    with open(path, "rb") as file:
        digest, content = file.read(_DIGEST), file.read()
    if hashlib.sha256(content).digest() != digest:
        raise OSError(f"{path} is damaged")
    return content


class _Where(caching.CompileResultCacheImpl):
    """Finds the folder; without a home folder there is no user's cache folder either."""

    def __init__(self, function: Callable[..., Any]) -> None:
        if os.path.expanduser("~") == "~":
            known = caching.CompileResultCacheImpl._locator_classes
            self._locator_classes = [c for c in known if c is not caching.UserWideCacheLocator]
        super().__init__(function)


class KernelCache(caching.FunctionCache):
    """What is kept of one function."""

    _impl_class = _Where

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        # A name of its own: numba's files have no checksum, and would be taken for damaged ones.
        base = f"{self._impl.filename_base}.sha256"
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file = _File(self._cache_path, base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the machine code for some types; None if it is not there, or not whole."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever it is, compiling helps
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep machine code, if that can be."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            _say(f"{getattr(error, 'strerror', None) or error}, in {self._cache_path}")


def make_cache(function: Callable[..., Any]) -> KernelCache | None:
    """Return where machine code of a function is kept; None if it can be kept nowhere."""
    try:
        return KernelCache(function)
    except (OSError, RuntimeError):  # RuntimeError: numba has found no folder
        if not NOT_KEPT:
            NOT_KEPT.append("there is no folder for it that can be written to")
        return None


def _say(problem: str) -> None:
    if not NOT_KEPT:
        NOT_KEPT.append(problem)
        logging.getLogger("minideconv").warning(
            "compiled kernels are not kept on disk (%s): each process compiles them again;"
            " NUMBA_CACHE_DIR names another folder",
            problem,
        )
