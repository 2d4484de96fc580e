"""Writing checkpoints: one ``.npz`` file with arrays and a JSON header, whole or not at all.

There is no pickle in it: reading a checkpoint runs no code, and ``numpy.load`` opens it anywhere.
A file holds

* ``header``: UTF-8 JSON with the format's version, what the network is and how the run stands;
* ``model/NAME``: the parameters and running statistics;
* ``state/N``: the arrays inside the training state (momenta and the like), which the header's
  ``state`` tree refers to by number.

The bytes go to a temporary file in the same folder, are forced to the disk, and then take the name
of the old file in one step. Whatever happens on the way (full disk, power cut, Ctrl-C), the name
stands for a whole checkpoint: the old one or the new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minideconv._version import __version__
from minideconv.backend import Array, to_cpu
from minideconv.errors import CheckpointError
from minideconv.files.atomic import replacing, write_problem

__all__ = ["FORMAT", "FORMAT_VERSION", "Checkpoint", "save_checkpoint"]

FORMAT_VERSION = 1
FORMAT = "minideconv checkpoint"


@dataclass
class Checkpoint:
    """What a checkpoint file holds.

    Attributes
    ----------
    model_state : dict of str to array
        The network's ``state_dict()``.
    header : dict
        Plain JSON about the network and the run: ``model`` (name and arguments),
        ``normalization``, ``config``, ``progress``, and the task's metadata (`Task.metadata`).
    state : dict
        Everything else a run needs to go on (optimiser, schedule, random generators, loader): a
        tree of dicts, lists, scalars and arrays. Empty for a checkpoint that only predicts.
    """

    model_state: dict[str, Array]
    header: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path`, replacing an older file there only when all of it is on disk.

    Raises
    ------
    CheckpointError
        If it cannot be written (full disk, no permission); the older file is then unchanged.
    """
    path = Path(path)
    arrays: dict[str, Any] = {}
    header = {
        **checkpoint.header,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "minideconv_version": __version__,
        "state": _split(checkpoint.state, arrays),
    }
    text = json.dumps(header, allow_nan=True).encode()
    arrays["header"] = np.frombuffer(text, np.uint8)
    arrays |= {f"model/{name}": array for name, array in checkpoint.model_state.items()}
    try:
        with replacing(path, sync=True) as file:
            lazy = {name: _LazyHostArray(array) for name, array in arrays.items()}
            np.savez(file, allow_pickle=False, **lazy)
    except OSError as error:
        kept = "the previous one is unchanged" if path.exists() else "nothing was left behind"
        raise CheckpointError(
            f"checkpoint {path} could not be written: {write_problem(error)}; {kept}"
        ) from error


class _LazyHostArray:
    """An array that comes to the host, and into C order, only while it is written."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(to_cpu(self._array), dtype, order="C", copy=copy)


def _split(tree: Any, arrays: dict[str, Array]) -> Any:
    """Return `tree` as plain JSON, its arrays moved into `arrays` and replaced by references.

    Dictionaries become lists of pairs, because JSON would turn integer keys into strings.
    """
    if isinstance(tree, np.ndarray):
        name = f"state/{len(arrays)}"
        arrays[name] = tree
        return {"array": name}
    if isinstance(tree, Mapping):
        return {"dict": [[key, _split(value, arrays)] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        return [_split(value, arrays) for value in tree]
    if isinstance(tree, np.generic):
        return tree.item()
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise TypeError(f"save_checkpoint: cannot store a {type(tree).__name__} in a checkpoint")
