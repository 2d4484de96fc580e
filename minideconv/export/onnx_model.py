"""An ONNX model in memory, and its bytes: `OnnxModel`, `OnnxNode`, `Port`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minideconv._version import __version__
from minideconv.errors import CheckpointError, UsageError
from minideconv.files.atomic import replacing, write_problem
from minideconv.interop.onnx_fields import (
    ATTRIBUTE,
    ATTRIBUTE_TYPES,
    DIMENSION,
    ENTRY,
    GRAPH,
    MODEL,
    NODE,
    OPSET,
    SHAPE,
    TENSOR,
    TENSOR_TYPE,
    TYPE,
    TYPES,
    VALUE_INFO,
)
from minideconv.interop.protobuf import Message

__all__ = ["IR_VERSION", "OPSET_VERSION", "OnnxModel", "OnnxNode", "Port", "write_model"]

OPSET_VERSION = 17
"""The version of ONNX's operators that is written."""

IR_VERSION = 8
"""The version of ONNX's file format: that which came with the operators."""

_MOST_BYTES = (1 << 31) - 1  # of a message of Protocol Buffers
_CODES = {name: code for code, name in TYPES.items()}


@dataclass(frozen=True)
class Port:
    """An input or output of the model: a name, a type, and axes that are numbers or named."""

    name: str
    dtype: str
    dims: tuple[int | str, ...]


@dataclass(frozen=True)
class OnnxNode:
    """One operator: names of what goes in and comes out; "" for an input that is left out."""

    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name: that of its first output."""
        return self.outputs[0]


@dataclass
class OnnxModel:
    """A model: its graph, and texts that describe it."""

    name: str
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    nodes: list[OnnxNode] = field(default_factory=list)
    initialisers: dict[str, np.ndarray] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    def message(self) -> Message:
        """Return the file's content; the weights are not copied."""
        graph = Message()
        for node in self.nodes:
            graph.message(GRAPH["node"], _node(node))
        graph.text(GRAPH["name"], self.name)
        for name, array in self.initialisers.items():
            graph.message(GRAPH["initializer"], _tensor(array, name))
        for port in self.inputs:
            graph.message(GRAPH["input"], _port(port))
        for port in self.outputs:
            graph.message(GRAPH["output"], _port(port))
        model = Message()
        model.integer(MODEL["ir_version"], IR_VERSION)
        model.text(MODEL["producer_name"], "minideconv")
        model.text(MODEL["producer_version"], __version__)
        model.message(MODEL["graph"], graph)
        opset = Message()
        opset.text(OPSET["domain"], "")
        opset.integer(OPSET["version"], OPSET_VERSION)
        model.message(MODEL["opset_import"], opset)
        for key, value in self.metadata.items():
            entry = Message()
            entry.text(ENTRY["key"], key)
            entry.text(ENTRY["value"], value)
            model.message(MODEL["metadata_props"], entry)
        return model


def write_model(path: str | Path, model: OnnxModel) -> int:
    """Write a model to a file, which is there whole or not at all; return its bytes.

    Raises
    ------
    UsageError
        If it is larger than the 2 GiB that Protocol Buffers allow a message.
    CheckpointError
        If the file cannot be written; an older one is then unchanged.
    """
    message = model.message()
    if message.size > _MOST_BYTES:
        raise UsageError(
            f"{path}: the model takes {message.size:,} bytes, and an ONNX file may have"
            f" {_MOST_BYTES:,}"
        )
    try:
        with replacing(path, sync=True) as file:
            message.write(file)
    except OSError as error:
        raise CheckpointError(f"{path} could not be written: {write_problem(error)}") from error
    return message.size


def _node(node: OnnxNode) -> Message:
    message = Message()
    for name in node.inputs:
        message.text(NODE["input"], name)
    for name in node.outputs:
        message.text(NODE["output"], name)
    message.text(NODE["name"], node.name)
    message.text(NODE["op_type"], node.op_type)
    for name, value in node.attributes.items():
        message.message(NODE["attribute"], _attribute(name, value))
    return message


def _attribute(name: str, value: Any) -> Message:
    message = Message()
    message.text(ATTRIBUTE["name"], name)
    if isinstance(value, float):
        kind = "f"
        message.real(ATTRIBUTE[kind], value)
    elif isinstance(value, int):  # a truth value too
        kind = "i"
        message.integer(ATTRIBUTE[kind], int(value))
    elif isinstance(value, str):
        kind = "s"
        message.text(ATTRIBUTE[kind], value)
    elif isinstance(value, np.ndarray):
        kind = "t"
        message.message(ATTRIBUTE[kind], _tensor(value))
    else:
        kind = "ints"
        for number in value:
            message.integer(ATTRIBUTE[kind], number)
    message.integer(ATTRIBUTE["type"], ATTRIBUTE_TYPES[kind])
    return message


def _tensor(array: np.ndarray, name: str = "") -> Message:
    message = Message()
    for length in array.shape:
        message.integer(TENSOR["dims"], length)
    message.integer(TENSOR["data_type"], _CODES[array.dtype.name])
    if name:
        message.text(TENSOR["name"], name)
    lowest_first = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    message.data(TENSOR["raw_data"], lowest_first.reshape(-1).view(np.uint8).data)
    return message


def _port(port: Port) -> Message:
    message, kind, tensor = Message(), Message(), Message()
    tensor.integer(TENSOR_TYPE["elem_type"], _CODES[port.dtype])
    tensor.message(TENSOR_TYPE["shape"], _shape(port.dims))
    kind.message(TYPE["tensor_type"], tensor)
    message.text(VALUE_INFO["name"], port.name)
    message.message(VALUE_INFO["type"], kind)
    return message


def _shape(dims: Sequence[int | str]) -> Message:
    message = Message()
    for dim in dims:
        axis = Message()
        if isinstance(dim, str):
            axis.text(DIMENSION["dim_param"], dim)
        else:
            axis.integer(DIMENSION["dim_value"], dim)
        message.message(SHAPE["dim"], axis)
    return message
