"""`read_weights`: the arrays of a weight file by name, whatever program wrote it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minideconv.errors import CheckpointError
from minideconv.interop.caffemodel import read_caffemodel
from minideconv.interop.keras import HDF5_START, read_keras
from minideconv.interop.malformed import Malformed, shown
from minideconv.interop.mapped import map_file
from minideconv.interop.npz import read_npz
from minideconv.interop.onnx import read_onnx
from minideconv.interop.protobuf import BYTES, VARINT, fields
from minideconv.interop.pytorch import LEGACY_START, read_legacy, read_zipped
from minideconv.interop.safetensors import looks_like_safetensors, read_safetensors
from minideconv.interop.zipped import Members

__all__ = ["FORMATS", "WeightFile", "read_weights"]

FORMATS = ("PyTorch", "PyTorch (legacy)", "safetensors", "Caffe", "ONNX", "Keras", "NumPy")

_Content = tuple[dict[str, np.ndarray], dict[str, str]]


@dataclass(frozen=True)
class WeightFile:
    """What `read_weights` found.

    Attributes
    ----------
    path : Path
        The file.
    format : str
        One of `FORMATS`.
    arrays : dict of str to array
        In the file's order, with the file's names, shapes and types, but that bfloat16, which NumPy
        does not have, is float32. Tied weights of a PyTorch file are one array under two names.
    metadata : dict of str to str
        What else the file says: of Caffe the layers' types, of ONNX who made it, of PyTorch short
        values beside the tensors.
    """

    path: Path
    format: str
    arrays: dict[str, np.ndarray]
    metadata: dict[str, str] = field(default_factory=dict)


def read_weights(path: str | Path) -> WeightFile:
    """Read a weight file; its format is known by its content, not by its name.

    ==================  ======================================================================
    PyTorch             ``.pth``, ``.pt``: what ``torch.save`` writes; tensors in dictionaries
    PyTorch (legacy)    the same from before PyTorch 1.6
    safetensors         ``.safetensors``
    Caffe               ``.caffemodel`` of V1 and V2; blob ``i`` of a layer is ``LAYER/i``
    ONNX                ``.onnx``: the initialisers
    Keras               ``.h5``: the data sets by their paths; needs h5py (extra `h5`)
    NumPy               ``.npz``; of a checkpoint of this library the network's state
    ==================  ======================================================================

    Nothing in the file is executed, whatever it is. Memory is bounded by the file's length: a shape
    or length that only claims to be large is an error before anything is allocated for it.

    Raises
    ------
    CheckpointError
        If the file cannot be opened, is damaged, or is of no format that is read.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from minideconv.interop import write_safetensors
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_safetensors(f"{folder}/w", {"bias": np.arange(3.0)})
    ...     read_weights(f"{folder}/w").arrays
    {'bias': array([0., 1., 2.])}
    """
    path = Path(path)
    try:
        name, read = _recognise(map_file(path), path)
        arrays, about = read()
        if not arrays:
            raise Malformed(f"it is a file of {name} without any weights")
    except Malformed as error:
        raise CheckpointError(f"weights {path}: {error}") from error
    except MemoryError as error:
        raise CheckpointError(f"weights {path}: there is not enough memory for it") from error
    return WeightFile(path, name, arrays, about)


def _recognise(data: memoryview, path: Path) -> tuple[str, Callable[[], _Content]]:
    """Return the format, and what reads the file in it."""
    start = bytes(data[:64])
    if start.startswith(b"PK\x03\x04"):
        members = Members(data)
        if any(name.endswith(".npy") for name in members.names):
            return "NumPy", lambda: read_npz(members)
        return "PyTorch", lambda: read_zipped(members, len(data))
    if start.startswith(LEGACY_START):
        return "PyTorch (legacy)", lambda: read_legacy(data)
    if start.startswith(HDF5_START):
        return "Keras", lambda: read_keras(path, len(data))
    if looks_like_safetensors(start):
        return "safetensors", lambda: read_safetensors(data)
    if start[:1] == b"\x80":
        raise Malformed("it is a pickle, but none that torch.save wrote; it is not read")
    return _recognise_protobuf(data, start)


def _recognise_protobuf(data: memoryview, start: bytes) -> tuple[str, Callable[[], _Content]]:
    """Tell ONNX from Caffe by the fields of the outermost message, which have no magic number."""
    found: set[tuple[int, int]] = set()
    try:
        for part in fields(data):
            found.add((part.number, part.kind))
            if len(found) > 30:
                break
    except Malformed as error:
        # A file of one of the two that is cut off or damaged still begins like one.
        if found.isdisjoint({(1, VARINT), (1, BYTES), (2, BYTES)}):
            raise Malformed(_strange(start)) from error
        name = "ONNX" if (1, VARINT) in found else "Caffe"
        raise Malformed(f"it begins like a file of {name}, but {error}") from error
    if (7, BYTES) in found and (1, BYTES) not in found:
        return "ONNX", lambda: read_onnx(data)
    if (2, BYTES) in found or (100, BYTES) in found:
        return "Caffe", lambda: read_caffemodel(data)
    raise Malformed(_strange(start))


def _strange(start: bytes) -> str:
    known = ", ".join(name for name in FORMATS if "(" not in name)
    return f"it is of no format that is read ({known}); it begins with {shown(start[:12])}"
