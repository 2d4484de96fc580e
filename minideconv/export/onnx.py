"""`export_onnx`: a network as an ONNX file that other programs compute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from minideconv.export.onnx_graph import OnnxBuilder
from minideconv.export.onnx_model import OnnxModel, write_model
from minideconv.export.onnx_operations import OPERATIONS
from minideconv.export.processing import Preprocessing, postprocess, preprocess
from minideconv.interop.finite import check_finite
from minideconv.nn import Module
from minideconv.nn.trace import trace

__all__ = ["export_onnx", "onnx_model"]


def onnx_model(
    network: Module,
    size: int | tuple[int, int],
    dynamic_size: bool = False,
    preprocessing: Preprocessing | None = None,
    postprocessing: tuple[str, ...] = (),
    metadata: Mapping[str, str] | None = None,
    allow_non_finite: bool = False,
) -> OnnxModel:
    """Return a network as an ONNX model; the arguments are those of `export_onnx`."""
    if not allow_non_finite:
        check_finite(network.arrays(), "export")
    graph = trace(network, size, dynamic_size)
    builder = OnnxBuilder(graph)
    preprocess(builder, graph.input, preprocessing)
    for operation in graph.operations:
        build = OPERATIONS.get(operation.name)
        if build is None:
            raise builder.unsupported(operation)
        builder.module = operation.module
        builder.enter(operation.result, build(builder, operation))
    builder.module = ""
    postprocess(builder, graph.output, postprocessing)
    builder.model.metadata = dict(metadata or {})
    return builder.model


def export_onnx(
    network: Module,
    path: str | Path,
    size: int | tuple[int, int],
    dynamic_size: bool = False,
    preprocessing: Preprocessing | None = None,
    postprocessing: tuple[str, ...] = (),
    metadata: Mapping[str, str] | None = None,
    allow_non_finite: bool = False,
) -> OnnxModel:
    """Write a network as an ONNX file, in evaluation mode, of opset 17.

    Parameters
    ----------
    network : Module
        Its forward takes one Tensor (N, C, H, W) and returns one. What it computes is found by
        `nn.trace.trace`, whatever network it is.
    path : str or Path
        The file; an older one is replaced in one step.
    size : int or (int, int)
        Height and width of the images, in pixels.
    dynamic_size : bool
        Whether larger images may be given, too. The number of images is always open.
    preprocessing : Preprocessing, optional
        What makes the network's input of grey levels. Without it the file's input, "input", is the
        network's own; with it "images", uint8.
    postprocessing : tuple of {"softmax", "argmax"}
        Further outputs beside "scores": "probabilities", "labels".
    metadata : mapping of str to str, optional
        Texts that describe the file.
    allow_non_finite : bool
        Whether weights that are NaN or infinite are written; refused otherwise.

    Returns
    -------
    OnnxModel
        What was written.

    Raises
    ------
    UsageError
        If the network has an operation that is not exported; it is named, and nothing is written.
    CheckpointError
        If the file cannot be written, or a weight is NaN or infinite.

    Examples
    --------
    >>> import tempfile
    >>> from minideconv import models
    >>> net = models.deconvnet(num_classes=4, width=2, input_size=32, fc=8, stages=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = export_onnx(net, f"{folder}/net.onnx", 32)
    >>> model.inputs[0].dims, model.outputs[0].dims
    (('batch', 3, 32, 32), ('batch', 4, 32, 32))
    """
    model = onnx_model(
        network, size, dynamic_size, preprocessing, postprocessing, metadata, allow_non_finite
    )
    write_model(path, model)
    return model
