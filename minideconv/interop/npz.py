"""NumPy's ``.npz``, also this library's checkpoints: a zip archive of stored ``.npy`` members."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from minideconv.errors import UsageError
from minideconv.interop.arrays import ITEM_BYTES, make_array
from minideconv.interop.conventions import INPUT, InputConvention
from minideconv.interop.malformed import Malformed, shown
from minideconv.interop.zipped import Members

__all__ = ["NETWORK", "read_npy", "read_npz"]

NETWORK = "network"
"""Under which `read_npz` says of a checkpoint which network it holds: name and arguments, JSON."""

_MOST_HEADER_BYTES = 10_000
_TYPES = {np.dtype(name).str[1:]: name for name in ITEM_BYTES if name != "bfloat16"}
# NumPy writes the header as a Python dictionary, always so; nothing is evaluated here.
_HEADER = re.compile(
    r"\{'descr': '([<>|=]?)([biuf]\d{1,2})', 'fortran_order': (True|False),"
    r" 'shape': \(((?:\d{1,19},? ?)*)\), \}\s*"
)


def read_npz(members: Members) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays by name; of a checkpoint of this library the network's state alone.

    Raises
    ------
    Malformed
        If a member is no array of plain numbers.
    """
    names = [name.removesuffix(".npy") for name in members.names]
    about: dict[str, str] = {}
    # A checkpoint keeps the optimiser's momenta and the like beside the network's `model/NAME`.
    if "header" in names and any(name.startswith("model/") for name in names):
        about = {"made by": "minideconv", **_about(read_npy(members["header.npy"], "header"))}
        names = [name for name in names if name.startswith("model/")]
    arrays = {name.removeprefix("model/"): read_npy(members[f"{name}.npy"], name) for name in names}
    return arrays, about


def _about(header: np.ndarray) -> dict[str, str]:
    """Return what a checkpoint's header says about the network and its input."""
    try:
        found: dict[str, Any] = json.loads(header.tobytes())
        model = found.get("model")
        about = {} if model is None else {NETWORK: json.dumps(model)}
        normalization = found.get("normalization")
        if normalization is None:
            return about
        order = slice(None, None, -1 if normalization["bgr"] else 1)  # the mean is in RGB there
        convention = InputConvention(
            "BGR" if normalization["bgr"] else "RGB",
            mean=tuple(normalization["mean"][order]),
            std=(normalization["scale"],) * 3,
        )
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, UsageError) as error:
        raise Malformed(f"its header is no checkpoint's: {shown(str(error))}") from error
    return {**about, INPUT: convention.to_json()}


def read_npy(content: memoryview, name: str) -> np.ndarray:
    """Return the array in the bytes of a ``.npy`` file; `name` is what an error calls it.

    Raises
    ------
    Malformed
        If it is none, is not of plain numbers, or claims another length than it has.
    """
    what = f"array {shown(name)}"
    # After the magic number: the version, and the header's length in 2 bytes, since version 2 in 4.
    width = 2 if bytes(content[6:7]) == b"\1" else 4
    start = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    if bytes(content[:6]) != b"\x93NUMPY" or start > _MOST_HEADER_BYTES:
        raise Malformed(f"{what} does not begin as NumPy's arrays do")
    header = bytes(content[8 + width : start]).decode("latin-1")
    found = _HEADER.fullmatch(header)
    if found is None:
        raise Malformed(f"{what} is no plain numbers: its header is {shown(header.strip())}")
    order, code, column_first, lengths = found.groups()
    dtype = _TYPES.get(code, code)
    if dtype not in ITEM_BYTES:
        raise Malformed(f"{what} is of type {dtype}, which is not read")
    shape = [int(n) for n in lengths.replace(" ", "").split(",") if n]
    if column_first == "True":  # the transpose has its rows where this has its columns
        shape.reverse()
    array = make_array(content[start:], dtype, shape, what, ">" if order == ">" else "<")
    return array.T if column_first == "True" else array
