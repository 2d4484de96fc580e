"""safetensors: a length, a header of JSON, and the arrays' bytes. Read and written here.

| bytes | what |
|---|---|
| 8 | the header's length N, lowest byte first |
| N | JSON: ``{"NAME": {"dtype": "F32", "shape": [...], "data_offsets": [from, to]}, ...}`` |
| rest | the arrays, in C order, lowest byte first; offsets count from here |

Each byte of the rest belongs to exactly one array. The name ``__metadata__`` has a dictionary of
texts in place of an array.
Source: the format's description in the repository huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.errors import CheckpointError
from minideconv.files.atomic import replacing, write_problem
from minideconv.interop.arrays import ITEM_BYTES, check_shape, make_array
from minideconv.interop.malformed import Malformed, shown

__all__ = ["looks_like_safetensors", "read_safetensors", "write_safetensors"]

_DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "F16": "float16",
    "BF16": "bfloat16", "U32": "uint32", "I32": "int32", "F32": "float32", "U64": "uint64",
    "I64": "int64", "F64": "float64",
}  # fmt: skip
_CODES = {dtype: code for code, dtype in _DTYPES.items() if dtype != "bfloat16"}

# The format allows 100 MB. Python takes thirty times the memory of such JSON, and a network of ten
# thousand arrays has a header of 1 MB.
_MOST_HEADER_BYTES = 16 << 20


def looks_like_safetensors(start: bytes) -> bool:
    """Return whether a file that begins so may be one: the ninth byte opens the JSON."""
    return len(start) > 8 and start[8:9] == b"{"


def read_safetensors(data: memoryview) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays by name, and the file's metadata.

    Raises
    ------
    Malformed
        If the header is none, or arrays overlap, leave bytes over, or are not in the file.
    """
    header, rest = _header(data)
    about = header.pop("__metadata__", {})
    if not isinstance(about, dict) or not all(isinstance(v, str) for v in about.values()):
        raise Malformed("the header's __metadata__ is no dictionary of texts")
    entries = [_entry(name, entry) for name, entry in header.items()]
    arrays, end = {}, 0
    for start, stop, name, dtype, shape in sorted(entries, key=lambda entry: entry[:2]):
        if start != end or not start <= stop <= len(rest):
            raise Malformed(
                f"array {shown(name)} claims the bytes {start:,} to {stop:,}; it must begin at"
                f" {end:,}, where the one before it ends, and the file has {len(rest):,}"
            )
        arrays[name] = make_array(rest[start:stop], dtype, shape, f"array {shown(name)}")
        end = stop
    if end != len(rest):
        raise Malformed(f"{len(rest) - end:,} bytes at its end belong to no array")
    return {name: arrays[name] for name in header}, about


def _header(data: memoryview) -> tuple[dict[str, Any], memoryview]:
    """Return the header, parsed, and the bytes behind it."""
    length = int.from_bytes(data[:8], "little")
    if length > _MOST_HEADER_BYTES or length > len(data) - 8:
        raise Malformed(
            f"it claims a header of {length:,} bytes; it has {len(data) - 8:,}, and"
            f" {_MOST_HEADER_BYTES:,} is the most that is read"
        )
    try:
        header = json.loads(bytes(data[8 : 8 + length]), object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"its header is no JSON ({shown(error)})") from error
    if not isinstance(header, dict):
        raise Malformed("its header is no JSON object")
    return header, data[8 + length :]


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("a name is there twice")
    return entries


def _entry(name: str, entry: Any) -> tuple[int, int, str, str, tuple[int, ...]]:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise Malformed(f"array {shown(name)} has no dtype, shape and data_offsets")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise Malformed(
            f"array {shown(name)} is of type {shown(code)}; read are {', '.join(_DTYPES)}"
        )
    whole = isinstance(offsets, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in offsets)
    if not isinstance(shape, list) or not whole or len(offsets) != 2:
        raise Malformed(f"array {shown(name)} has no shape or no pair of offsets")
    return (*offsets, name, _DTYPES[code], check_shape(shape, f"array {shown(name)}"))


def write_safetensors(
    path: str | Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays by name to a safetensors file, which is there whole or not at all.

    Parameters
    ----------
    path : str or Path
        The file; an older one is replaced in one step.
    arrays : mapping of str to array
        Arrays of NumPy's numbers and truth values, except complex and long ones.
    metadata : mapping of str to str, optional
        Texts that describe the file.

    Raises
    ------
    CheckpointError
        If a name or a type is none that the format has, or the file cannot be written.

    Examples
    --------
    >>> write_safetensors(
    ...     "weights.safetensors", {"bias": np.zeros(3)}, {"made by": "me"}
    ... )  # doctest: +SKIP
    """
    header: dict[str, Any] = {}
    if metadata:
        if not all(isinstance(t, str) for pair in metadata.items() for t in pair):
            raise CheckpointError(f"safetensors {path}: metadata may hold nothing but texts")
        header["__metadata__"] = dict(metadata)
    # The widest types first, as the format advises: then all of them lie aligned.
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    end = 0
    for name in order:
        array = arrays[name]
        code = _CODES.get(array.dtype.name)
        if code is None or not isinstance(name, str) or name == "__metadata__":
            raise CheckpointError(
                f"safetensors {path}: array {shown(name)} of type {array.dtype} cannot be written;"
                f" types are {', '.join(_CODES)}, and __metadata__ is no name"
            )
        start, end = end, end + math.prod(array.shape) * ITEM_BYTES[array.dtype.name]
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [start, end]}
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:  # half of a pair of surrogates, out of a damaged name
        raise CheckpointError(f"safetensors {path}: a name or text is no Unicode") from error
    text += b" " * (-len(text) % 8)
    try:
        with replacing(path, sync=True) as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in order:
                lowest_first = arrays[name].dtype.newbyteorder("<")
                file.write(np.ascontiguousarray(arrays[name], lowest_first).data)
    except OSError as error:
        raise CheckpointError(
            f"safetensors {path} could not be written: {write_problem(error)}"
        ) from error
