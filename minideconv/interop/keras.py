"""Keras' ``.h5``: the data sets of an HDF5 file, by their paths in it. Needs h5py (extra `h5`).

The bytes are taken apart by the HDF5 library, which is written in C and believes much of what a
file says: there are files, with a few bytes changed, on which it computes for ever. So it reads in
a process of its own (`keras_worker`), whose time and memory are limited.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from minideconv.interop.keras_worker import REFUSED
from minideconv.interop.malformed import Malformed, shown
from minideconv.interop.mapped import map_file
from minideconv.interop.safetensors import read_safetensors

__all__ = ["HDF5_START", "read_keras"]

HDF5_START = b"\x89HDF\r\n\x1a\n"

_SECONDS = 20  # of the processor, and one more for each 20 MB
_PATIENCE = 30  # how many times as long it may take on a busy machine
# The worker imports from where this process does.
_PROGRAM = (
    "import json, sys; path, arguments = json.loads(sys.argv[1]); sys.path[:] = path;"
    "from minideconv.interop.keras_worker import main; main(*arguments)"
)


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
        If h5py is not installed, or the file is damaged, leads outside of itself, claims more than
        it holds, or the HDF5 library does not come to an end with it.
    """
    if importlib.util.find_spec("h5py") is None:
        raise Malformed("it is an HDF5 file, which needs h5py: pip install 'minideconv[h5]'")
    seconds = _SECONDS + size // 20_000_000
    with tempfile.TemporaryDirectory(prefix="minideconv-") as folder:
        output = Path(folder) / "content"
        arguments = [str(path.resolve()), size, seconds, str(output)]
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", _PROGRAM, json.dumps([sys.path, arguments])],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_PATIENCE * seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise Malformed("the HDF5 library does not come to an end with it") from error
        if done.returncode == REFUSED:
            raise Malformed(done.stdout.decode("utf-8", "replace").strip())
        if done.returncode:
            # A negative code is the signal that ended it: of its time, or of a crash.
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            why = shown(said[-1], 160) if said else f"code {done.returncode}"
            raise Malformed(f"the HDF5 library failed on it, or took too long ({why})")
        return read_safetensors(map_file(output))
