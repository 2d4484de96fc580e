"""ONNX's messages: the numbers of the fields that are read and written here, and of the types.

A file is one `ModelProto`. It holds a graph: nodes, each an operator with the names of what goes in
and comes out, and the initialisers, which are arrays with names.

Source: ``onnx.proto`` of the ONNX project, version 1.17.
"""

from __future__ import annotations

__all__ = [
    "ATTRIBUTE", "ATTRIBUTE_TYPES", "DIMENSION", "ENTRY", "GRAPH", "MODEL", "NODE", "NOT_READ",
    "OPSET", "SHAPE", "TENSOR", "TENSOR_TYPE", "TYPE", "TYPES", "VALUE_INFO",
]  # fmt: skip

MODEL = {
    "ir_version": 1, "producer_name": 2, "producer_version": 3, "graph": 7, "opset_import": 8,
    "metadata_props": 14,
}  # fmt: skip
OPSET = {"domain": 1, "version": 2}
ENTRY = {"key": 1, "value": 2}
GRAPH = {
    "node": 1, "name": 2, "initializer": 5, "input": 11, "output": 12, "sparse_initializer": 15,
}  # fmt: skip
NODE = {"input": 1, "output": 2, "name": 3, "op_type": 4, "attribute": 5}
ATTRIBUTE = {"name": 1, "f": 2, "i": 3, "s": 4, "t": 5, "ints": 8, "type": 20}
ATTRIBUTE_TYPES = {"f": 1, "i": 2, "s": 3, "t": 4, "ints": 7}

# The values of a tensor are in one of raw_data (lowest byte first), float_data, int32_data (also
# smaller types, and the bits of float16 and bfloat16), int64_data, double_data, uint64_data.
TENSOR = {
    "dims": 1, "data_type": 2, "segment": 3, "float_data": 4, "int32_data": 5, "int64_data": 7,
    "name": 8, "raw_data": 9, "double_data": 10, "uint64_data": 11, "external_data": 13,
    "data_location": 14,
}  # fmt: skip
VALUE_INFO = {"name": 1, "type": 2}
TYPE = {"tensor_type": 1}
TENSOR_TYPE = {"elem_type": 1, "shape": 2}
SHAPE = {"dim": 1}
DIMENSION = {"dim_value": 1, "dim_param": 2}

TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
"""The types of numbers."""
NOT_READ = {
    8: "STRING", 14: "COMPLEX64", 15: "COMPLEX128", 17: "FLOAT8E4M3FN", 18: "FLOAT8E4M3FNUZ",
    19: "FLOAT8E5M2", 20: "FLOAT8E5M2FNUZ", 21: "UINT4", 22: "INT4", 23: "FLOAT4E2M1",
}  # fmt: skip
"""Types that NumPy does not have."""
