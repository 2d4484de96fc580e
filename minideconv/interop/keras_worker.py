"""The process in which `keras` reads an HDF5 file: its answer is a safetensors file, or a sentence.

What the HDF5 library could be led to by a file is asked for first. Nothing outside of the file is
followed (links, data in other files), and a data set is read only if the file has the bytes that it
claims.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.errors import CheckpointError
from minideconv.interop.arrays import ITEM_BYTES, check_shape
from minideconv.interop.malformed import Malformed, shown
from minideconv.interop.safetensors import write_safetensors

__all__ = ["REFUSED", "main", "read_hdf5"]

REFUSED = 3
"""The exit code that says: what was printed is the sentence."""

_DEEPEST = 16
_MOST_ENTRIES = 100_000


def main(path: str, size: int, seconds: int, output: str) -> None:
    """Read a file within limits of time and memory, and write what is in it to `output`."""
    try:
        import resource
    except ImportError:  # Windows: the parent waits no longer than it wants
        pass
    else:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        most = (4 << 30) + 4 * size  # the interpreter and its libraries take some
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        write_safetensors(output, *read_hdf5(Path(path), size))
    except (Malformed, CheckpointError) as error:
        print(error)
        sys.exit(REFUSED)
    except MemoryError:
        print("there is not enough memory for it")
        sys.exit(REFUSED)


def read_hdf5(path: Path, size: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
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
        If the file is damaged, leads outside of itself, or claims more than it holds.
    """
    import h5py

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
