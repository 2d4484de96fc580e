"""Keras' ``.h5``: the data sets of an HDF5 file, by their paths in it. Needs h5py (extra `h5`).

The bytes are read by the HDF5 library, which is written in C; what it could be led to by a file is
asked for first. Nothing outside of the file is followed (links, data in other files), and a data
set is read only if the file has the bytes that it claims.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from minideconv.interop.arrays import ITEM_BYTES, check_shape
from minideconv.interop.malformed import Malformed, shown

__all__ = ["HDF5_START", "read_keras"]

HDF5_START = b"\x89HDF\r\n\x1a\n"
_DEEPEST = 16
_MOST_ENTRIES = 100_000


def read_keras(path: Path, size: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the data sets by their paths.

    Parameters
    ----------
    path : Path
        The file.
    size : int
        Its length in bytes, which all data sets together may take.

    Raises
    ------
    Malformed
        If h5py is not installed, or the file is damaged, leads outside of itself, or claims more
        than it holds.
    """
    try:
        import h5py
    except ImportError as error:
        raise Malformed(
            "it is an HDF5 file, which needs h5py: pip install 'minideconv[h5]'"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            arrays = _Reader(h5py, size).read(file)
            about = {
                name: _text(file.attrs[name])
                for name in ("backend", "keras_version")
                if name in file.attrs
            }
            return arrays, about
    # All that h5py makes of what the HDF5 library says about a damaged file.
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise Malformed(f"the HDF5 file is damaged ({shown(error, 160)})") from error


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else shown(value)


class _Reader:
    """Walks the groups of a file."""

    def __init__(self, h5py: Any, size: int) -> None:
        self._h5py, self._size, self._left = h5py, size, size
        self._entries = _MOST_ENTRIES

    def read(self, group: Any, above: str = "", depth: int = 0) -> dict[str, np.ndarray]:
        """Return the data sets in a group and in the groups below it."""
        if depth > _DEEPEST:
            raise Malformed(f"its groups are nested deeper than {_DEEPEST}, or in themselves")
        arrays: dict[str, np.ndarray] = {}
        for name in group:
            self._entries -= 1
            if self._entries < 0:
                raise Malformed(f"it has more than {_MOST_ENTRIES:,} entries")
            path = f"{above}/{name}" if above else str(name)
            if not isinstance(group.get(name, getlink=True), self._h5py.HardLink):
                raise Malformed(f"{shown(path)} is a link to another place or file")
            item = group[name]
            if isinstance(item, self._h5py.Group):
                arrays |= self.read(item, path, depth + 1)
            # The optimiser's state has texts and other things that are no weights.
            elif isinstance(item, self._h5py.Dataset) and item.dtype.name in ITEM_BYTES:
                arrays[path] = self._array(item, f"data set {shown(path)}")
        return arrays

    def _array(self, item: Any, what: str) -> np.ndarray:
        if item.shape is None:
            raise Malformed(f"{what} has no shape")
        check_shape(tuple(int(n) for n in item.shape), what)
        if item.is_virtual or item.external:
            raise Malformed(f"{what} has its values in another file, which is not read")
        if item.compression is not None or item.id.get_create_plist().get_nfilters():
            raise Malformed(f"{what} is compressed or filtered, which is not read; save it plain")
        # A file may claim any shape; what is not stored would be filled in.
        stored = item.id.get_storage_size()
        self._left -= item.nbytes
        if stored < item.nbytes or self._left < 0:
            raise Malformed(
                f"{what} of shape {item.shape} takes {item.nbytes:,} bytes, but the file of"
                f" {self._size:,} has not so many for it"
            )
        array = np.empty(item.shape, item.dtype.newbyteorder("="))
        if array.size:
            item.read_direct(array)
        return array
