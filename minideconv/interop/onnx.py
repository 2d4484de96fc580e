"""ONNX: the initialisers of a model's graph, which are its weights.

A file is one message `ModelProto`; the numbers of its fields are in `onnx_fields`.

Values that a model keeps in other files beside it (``external_data``) are not read: a file may name
any path there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from minideconv.interop.arrays import MOST_DIMENSIONS, check_shape, make_array
from minideconv.interop.malformed import Malformed, shown
from minideconv.interop.onnx_fields import GRAPH, MODEL, NOT_READ, TENSOR, TYPES
from minideconv.interop.protobuf import Field, Numbers, fields

__all__ = ["read_onnx"]

# Which field holds the values of a type that are not in raw_data.
_FLOATS, _INT32S, _INT64S, _RAW, _DOUBLES, _UINT64S = (
    TENSOR[name]
    for name in (
        "float_data", "int32_data", "int64_data", "raw_data", "double_data", "uint64_data",
    )
)  # fmt: skip
_FIELD_OF = {
    "float32": _FLOATS, "float64": _DOUBLES, "int64": _INT64S, "uint32": _UINT64S,
    "uint64": _UINT64S,
}  # fmt: skip
_VALUES = (_FLOATS, _INT32S, _INT64S, _RAW, _DOUBLES, _UINT64S)
_EXTERNAL = (TENSOR["external_data"], TENSOR["data_location"])


@dataclass
class _Tensor:
    """A TensorProto as it is in the file."""

    name: str = ""
    type: int = 0
    external: bool = False
    segment: bool = False
    dims: Numbers = field(default_factory=Numbers)
    values: dict[int, Numbers] = field(default_factory=dict)


def read_onnx(data: memoryview) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the initialisers by name, and who made the model.

    Raises
    ------
    Malformed
        If the bytes are no model, or an initialiser is not stored in them.
    """
    arrays: dict[str, np.ndarray] = {}
    about: dict[str, str] = {}
    for part in fields(data):
        if part.number == MODEL["producer_name"]:
            about["producer"] = part.text()
        elif part.number == MODEL["producer_version"]:
            about["producer version"] = part.text()
        elif part.number == MODEL["graph"]:
            for inner in fields(part.message()):
                if inner.number == GRAPH["sparse_initializer"]:
                    raise Malformed("the model has sparse initialisers, which are not read")
                if inner.number != GRAPH["initializer"]:
                    continue
                tensor = _tensor(inner.message())
                if tensor.name in arrays:
                    raise Malformed(f"two initialisers are both called {shown(tensor.name)}")
                arrays[tensor.name] = _array(tensor)
    return arrays, about


def _tensor(message: memoryview) -> _Tensor:
    tensor = _Tensor()
    for part in fields(message, numbers=True):
        if part.number == TENSOR["dims"]:
            tensor.dims.add(part)
        elif part.number == TENSOR["data_type"]:
            tensor.type = part.integer()
        elif part.number == TENSOR["segment"]:
            tensor.segment = True
        elif part.number == TENSOR["name"]:
            tensor.name = part.text()
        elif part.number in _EXTERNAL:
            tensor.external |= _external(part)
        elif part.number in _VALUES:
            tensor.values.setdefault(part.number, Numbers()).add(part)
    return tensor


def _external(part: Field) -> bool:
    return part.number == TENSOR["external_data"] or part.integer() == 1


def _array(tensor: _Tensor) -> np.ndarray:
    what = f"initialiser {shown(tensor.name)}"
    if tensor.external:
        raise Malformed(
            f"{what} is stored in another file (external data), which is not read; save the model"
            " again with all of its data in one file"
        )
    if tensor.segment:
        raise Malformed(f"{what} is stored in segments, which are not read")
    dtype = TYPES.get(tensor.type)
    if dtype is None:
        name = NOT_READ.get(tensor.type, f"number {tensor.type}")
        raise Malformed(f"{what} is of the type {name}, which is not read")
    shape = check_shape(tensor.dims.varints(MOST_DIMENSIONS).tolist(), what)
    values = {number: kept for number, kept in tensor.values.items() if kept}
    if len(values) > 1:
        raise Malformed(f"{what} has its values in {len(values)} fields; one is right")
    if _RAW in values:
        return make_array(values[_RAW].data, dtype, shape, what)
    right = _FIELD_OF.get(dtype, _INT32S)
    if values and right not in values:
        raise Malformed(f"{what} has its values of type {dtype} in the wrong field")
    kept = values.get(right, Numbers())
    if right in (_FLOATS, _DOUBLES):
        return make_array(kept.data, dtype, shape, what)
    return _from_varints(kept, dtype, shape, what)


def _from_varints(kept: Numbers, dtype: str, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Return what is stored as a list of whole numbers."""
    wide = kept.varints(at_most=math.prod(shape))
    if dtype == "uint64":
        narrow = wide.view(np.uint64)
    else:
        # float16 and bfloat16 are stored by their bits.
        bits = np.uint16 if dtype in ("float16", "bfloat16") else np.dtype(dtype)
        narrow = wide.astype(bits)
        if (narrow.astype(np.int64) != wide).any():
            raise Malformed(f"{what} has a value that is no {dtype}")
    lowest_first = narrow.astype(narrow.dtype.newbyteorder("<"))
    return make_array(lowest_first.tobytes(), dtype, shape, what)
