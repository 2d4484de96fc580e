"""`listing`: an ONNX model as text, a line for each operator."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.export.onnx_model import IR_VERSION, OPSET_VERSION, OnnxModel, Port
from minideconv.interop.tables import shape_text, table

__all__ = ["listing"]


def listing(model: OnnxModel) -> str:
    """Return what a model computes: inputs, outputs, and its operators in order.

    Windows without padding, dilation or groups say nothing about them.

    Parameters
    ----------
    model : OnnxModel
        From `export_onnx` or `onnx_model`.
    """
    numbers = sum(array.size for array in model.initialisers.values())
    rows = []
    for node in model.nodes:
        inputs = [_input(model, name) for name in node.inputs]
        given = {k: v for k, v in node.attributes.items() if not _is_default(k, v)}
        options = " ".join(f"{key}={_shown(value)}" for key, value in given.items())
        rows.append((node.op_type, ", ".join(inputs), ", ".join(node.outputs), options))
    return "\n".join(
        [
            f"{model.name}: opset {OPSET_VERSION}, format {IR_VERSION}, {len(model.nodes)} nodes,"
            f" {len(model.initialisers)} arrays, {numbers:,} numbers",
            *(f"in   {_port(port)}" for port in model.inputs),
            *(f"out  {_port(port)}" for port in model.outputs),
            "",
            *table(("operator", "from", "makes", "with"), rows),
        ]
    )


def _port(port: Port) -> str:
    return f"{port.name}  {port.dtype}  {' x '.join(map(str, port.dims))}"


def _input(model: OnnxModel, name: str) -> str:
    """Return a name; of a parameter also its shape, of a small constant its numbers instead."""
    array = model.initialisers.get(name)
    if array is None:
        return name or "-"
    if name.startswith("constant_") and array.size <= 4:
        return _shown(array)
    return f"{name.rpartition('.')[2] or name} {shape_text(array.shape)}"


def _is_default(key: str, value: Any) -> bool:
    plain = {"pads": 0, "dilations": 1, "group": 1, "ceil_mode": 0}
    numbers = value if isinstance(value, tuple) else (value,)
    return key in plain and all(number == plain[key] for number in numbers)


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, tuple | list):
        return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
