"""Pooling and unpooling in ONNX.

A switch of ONNX's MaxPool is an index into the whole tensor that was pooled (`Switches.to_tensor`
has the same numbers), so it depends on the batch it is in, and both ends must be computed by the
same program: they are, because the indices are an output of one node and an input of another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.export.onnx_graph import OnnxBuilder
from minideconv.nn.graph import Operation

__all__ = ["avg_pool2d", "max_pool2d", "max_unpool2d"]


def _window(operation: Operation, *more: str) -> dict[str, Any]:
    options = operation.options
    return {
        "kernel_shape": options["kernel_size"],
        "strides": options["stride"],
        "pads": (*options["padding"], *options["padding"]),
        "ceil_mode": options["ceil_mode"],
        **{f"{name}s": options[name] for name in more},
    }


def max_pool2d(builder: OnnxBuilder, operation: Operation) -> str:
    """MaxPool. Which of equal pixels wins, ONNX leaves open: the tests hold onnxruntime to ours."""
    x = builder.name(operation.inputs[0])
    window = _window(operation, "dilation")
    if not operation.gives_switches:
        return builder.add("MaxPool", x, **window)
    pooled = builder.add("MaxPool", x, second="indices", **window)
    builder.indices[operation] = f"{pooled}.indices"
    return pooled


def avg_pool2d(builder: OnnxBuilder, operation: Operation) -> str:
    """AveragePool."""
    options = operation.options
    if options["ceil_mode"]:
        raise builder.unsupported(
            operation,
            "with ceil_mode programs count the pixels of the last window in different ways",
        )
    counted = {"count_include_pad": options["count_include_pad"]}
    return builder.add(
        "AveragePool", builder.name(operation.inputs[0]), **_window(operation), **counted
    )


def max_unpool2d(builder: OnnxBuilder, operation: Operation) -> str:
    """MaxUnpool where the windows cover the plane exactly, else a scatter into zeros.

    The size that MaxUnpool restores is that which the windows imply. A row or column that is left
    over behind the last window of an odd plane is not in it, and its optional ``output_shape`` is
    understood in two ways (indices in the implied plane, or in the whole): so there, and where the
    size is open, ScatterElements puts the values into a vector of zeros by the same indices.
    """
    pool: Operation = operation.options["switches"]
    window, pooled = pool.options, pool.inputs[0]
    assert pooled is not None
    kernel, stride, padding = window["kernel_size"], window["stride"], window["padding"]
    overlap = any(k > s for k, s in zip(kernel, stride, strict=True))
    add = operation.options["duplicates"] == "add"
    if overlap and not add:
        raise builder.unsupported(
            operation,
            f"its windows overlap (kernel {kernel}, stride {stride}), and ONNX does not say which"
            " of two values for one pixel stays",
        )
    x, indices = builder.name(operation.inputs[0]), builder.indices[pool]
    small = pool.result
    implied = [
        [
            (n - 1) * s + k - 2 * p
            for n, s, k, p in zip(shape[2:], stride, kernel, padding, strict=True)
        ]
        for shape in small.shapes
    ]
    exact = all(list(shape[2:]) == size for shape, size in zip(pooled.shapes, implied, strict=True))
    fixed = pooled.length(2) is not None and pooled.length(3) is not None
    if exact and fixed and not overlap and tuple(window["dilation"]) == (1, 1):
        pads = (*padding, *padding)
        return builder.add("MaxUnpool", x, indices, kernel_shape=kernel, strides=stride, pads=pads)
    flat = builder.constant([-1], np.int64)
    shape = builder.step("Shape", builder.name(pooled))
    count = builder.step("ReduceProd", shape, axes=(0,), keepdims=1)
    zeros = builder.step("ConstantOfShape", count, value=np.zeros(1, operation.result.dtype))
    places, values = (builder.step("Reshape", each, flat) for each in (indices, x))
    reduction: dict[str, Any] = {"reduction": "add"} if add else {}
    filled = builder.step("ScatterElements", zeros, places, values, axis=0, **reduction)
    return builder.add("Reshape", filled, shape)
