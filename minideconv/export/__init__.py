"""Networks for other programs: ``python -m minideconv.export`` writes ONNX (see `__main__`)."""

from __future__ import annotations

from minideconv.export.listing import listing
from minideconv.export.onnx import export_onnx, onnx_model
from minideconv.export.onnx_model import OPSET_VERSION, OnnxModel, OnnxNode, Port
from minideconv.export.processing import Preprocessing

__all__ = [
    "OPSET_VERSION",
    "OnnxModel",
    "OnnxNode",
    "Port",
    "Preprocessing",
    "export_onnx",
    "listing",
    "onnx_model",
]
