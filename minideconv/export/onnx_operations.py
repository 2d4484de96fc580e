"""Which of ONNX's operators computes which operation: `OPERATIONS`.

Each entry takes the `OnnxBuilder` and an `Operation`, appends nodes, and returns the name of what
has the result. What an operator means is in ONNX's "Operators.md" for the opset that is written;
where that leaves something open which matters here, the entry says what it relies on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minideconv.backend import to_cpu
from minideconv.export.onnx_graph import OnnxBuilder
from minideconv.export.onnx_pooling import avg_pool2d, max_pool2d, max_unpool2d
from minideconv.interop.onnx_fields import TYPES
from minideconv.nn.graph import Operation, Value

__all__ = ["OPERATIONS"]

Build = Callable[[OnnxBuilder, Operation], str]

_CODES = {name: code for code, name in TYPES.items()}
_END = np.iinfo(np.int64).max  # of a slice that goes to the end


def _convolution(op_type: str) -> Build:
    def build(builder: OnnxBuilder, operation: Operation) -> str:
        x, weight, bias = operation.inputs
        assert weight is not None
        options = operation.options
        attributes: dict[str, Any] = {
            "kernel_shape": weight.shapes[0][2:],
            "strides": options["stride"],
            "pads": (*options["padding"], *options["padding"]),
            "dilations": options["dilation"],
            "group": options["groups"],
        }
        if any(options.get("output_padding", (0,))):
            attributes["output_padding"] = options["output_padding"]
            if not all(isinstance(n, int) for n in options["output_padding"]):
                raise builder.unsupported(operation, "its output_padding follows the image's size")
        names = map(builder.name, (x, weight, bias))
        return builder.add(op_type, *names, **attributes)

    return build


def _linear(builder: OnnxBuilder, operation: Operation) -> str:
    x, weight, bias = operation.inputs
    assert x is not None
    if x.ndim == 2:
        return builder.add("Gemm", *map(builder.name, operation.inputs), transB=1)
    turned = builder.step("Transpose", builder.name(weight), perm=(1, 0))
    if bias is None:
        return builder.add("MatMul", builder.name(x), turned)
    product = builder.step("MatMul", builder.name(x), turned)
    return builder.add("Add", product, builder.name(bias))


def _batch_norm(relu: bool) -> Build:
    def build(builder: OnnxBuilder, operation: Operation) -> str:
        x, weight, bias = operation.inputs
        options = operation.options
        mean, var = options["running_mean"], options["running_var"]
        if options["training"] or not isinstance(mean, Value):
            return _by_own_statistics(builder, operation, relu)
        ones = np.ones(mean.shapes[0], mean.dtype)
        scale = builder.constant(ones) if weight is None else builder.name(weight)
        shift = builder.constant(0 * ones) if bias is None else builder.name(bias)
        write = builder.step if relu else builder.add
        y: str = write(
            "BatchNormalization",
            *(builder.name(x), scale, shift, builder.name(mean), builder.name(var)),
            epsilon=float(options["eps"]),
        )
        return builder.add("Relu", y) if relu else y

    return build


def _by_own_statistics(builder: OnnxBuilder, operation: Operation, relu: bool) -> str:
    """One image without scale and shift, as group and layer normalisation make of theirs.

    InstanceNormalization is given each channel as an image, since their number may be open, and
    that of its scales is not.
    """
    x, weight, bias = operation.inputs
    assert x is not None
    if relu or x.length(0) != 1 or weight is not None or bias is not None:
        raise builder.unsupported(
            operation, "it normalises by the statistics of its own batch, also in evaluation"
        )
    turned = builder.step("Transpose", builder.name(x), perm=(1, 0, 2, 3))
    scale, shift = builder.constant(np.ones(1, x.dtype)), builder.constant(np.zeros(1, x.dtype))
    epsilon = float(operation.options["eps"])
    y = builder.step("InstanceNormalization", turned, scale, shift, epsilon=epsilon)
    return builder.add("Transpose", y, perm=(1, 0, 2, 3))


def _interpolate(builder: OnnxBuilder, operation: Operation) -> str:
    """Resize: the coordinates of "half_pixel", with "edge" clamping, are ours."""
    x, options = operation.inputs[0], operation.options
    assert x is not None
    size, factor = options["size"], options["scale_factor"]
    if options["mode"] == "bicubic":
        raise builder.unsupported(operation, "programs treat the image's border in different ways")
    attributes: dict[str, Any] = {"mode": "linear"}
    if options["mode"] == "nearest":
        attributes = {"mode": "nearest", "nearest_mode": "floor"}
        pairs = zip(x.shapes, operation.result.shapes, strict=True)
        if any(
            new % old for before, after in pairs for old, new in zip(before, after, strict=True)
        ):
            raise builder.unsupported(
                operation,
                "it takes the nearest pixel at a factor that is no whole number, where programs"
                " round in different ways",
            )
        attributes["coordinate_transformation_mode"] = "asymmetric"
    else:
        corners = options["align_corners"]
        attributes["coordinate_transformation_mode"] = "align_corners" if corners else "half_pixel"
    if size is None:
        both = factor if isinstance(factor, tuple) else (factor, factor)
        single = [np.float32(f) for f in both]  # rounded, so the size could be one less
        for before, after in zip(x.shapes, operation.result.shapes, strict=True):
            for axis in (0, 1):
                if int(before[2 + axis] * float(single[axis])) < after[2 + axis]:
                    single[axis] = np.nextafter(single[axis], np.float32(np.inf))
        scales = builder.constant([1, 1, *single], np.float32)
        return builder.add("Resize", builder.name(x), "", scales, **attributes)
    kept = builder.step("Shape", builder.name(x), start=0, end=2)
    sizes = builder.step("Concat", kept, builder.size(size), axis=0)
    return builder.add("Resize", builder.name(x), "", "", sizes, **attributes)


def _pad(builder: OnnxBuilder, operation: Operation) -> str:
    x, options = operation.inputs[0], operation.options
    assert x is not None
    amounts = options["pad"]
    mode = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}.get(options["mode"])
    if mode is None:
        raise builder.unsupported(operation, f"opset 17 has no mode {options['mode']!r}")
    if not all(isinstance(n, int) for n in amounts):
        raise builder.unsupported(operation, "its amounts follow the image's size")
    if min(amounts, default=0) < 0 and mode != "constant":
        raise builder.unsupported(operation, f"it crops with the mode {options['mode']!r}")
    before, after = [0] * x.ndim, [0] * x.ndim
    for i in range(len(amounts) // 2):  # ours: the last axis first, both ends of it together
        before[-1 - i], after[-1 - i] = amounts[2 * i : 2 * i + 2]
    arrays = [builder.name(x), builder.constant([*before, *after], np.int64)]
    if mode == "constant":
        arrays.append(builder.constant(options["value"], x.dtype))
    return builder.add("Pad", *arrays, mode=mode)


def _dropout(builder: OnnxBuilder, operation: Operation) -> str:
    """Nothing, in evaluation."""
    if operation.options["training"]:
        raise builder.unsupported(operation, "it drops values in evaluation, too")
    return builder.name(operation.inputs[0])


def _getitem(builder: OnnxBuilder, operation: Operation) -> str:
    x = operation.inputs[0]
    assert x is not None
    starts: list[Any] = []
    stops: list[Any] = []
    steps: list[Any] = []
    axes: list[int] = []
    dropped: list[int] = []
    added: list[int] = []
    chosen: list[tuple[int, str]] = []
    axis, place = 0, 0  # in x, and in the result
    for part in operation.options["key"]:
        if part is None:
            added.append(place)
            place += 1
            continue
        if isinstance(part, (Value, tuple)):
            chosen.append((axis, _indices(builder, operation, part)))
            axis, place = axis + 1, place + 1
            continue
        if isinstance(part, slice):
            whole = part.start == 0 and part.stop is True and part.step == 1
            ends = (part.start, _END if part.stop is True else part.stop, part.step)
            place += 1
        else:
            whole, ends = False, (part, _END if part == -1 else part + 1, 1)
            dropped.append(axis)
        if not whole:
            axes.append(axis)
            for numbers, number in zip((starts, stops, steps), ends, strict=True):
                numbers.append(number)
        axis += 1
    if len(chosen) > 1 or (chosen and dropped):
        raise builder.unsupported(operation, "its index has an array beside another or a number")
    y = builder.name(x)
    for axis, indices in chosen:
        y = builder.step("Gather", y, indices, axis=axis)
    if axes:
        rest = (builder.size(starts), builder.size(stops), builder.size(axes), builder.size(steps))
        y = builder.step("Slice", y, *rest)
    if dropped:
        y = builder.step("Squeeze", y, builder.size(dropped))
    return builder.step("Unsqueeze", y, builder.size(added)) if added else y


def _indices(builder: OnnxBuilder, operation: Operation, part: Any) -> str:
    """Return the name of the numbers that an index takes from one axis."""
    if isinstance(part, Value):
        part = None if part.array is None else to_cpu(part.array)
    indices = np.asarray(part)
    if part is None or indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise builder.unsupported(
            operation, "its index is an array, and not one of whole numbers that stay the same"
        )
    return builder.constant(indices, np.int64)


def _leaky_relu(builder: OnnxBuilder, operation: Operation) -> str:
    slope = float(operation.options["negative_slope"])
    return builder.add("LeakyRelu", builder.name(operation.inputs[0]), alpha=slope)


def _cumsum(builder: OnnxBuilder, operation: Operation) -> str:
    axis = builder.constant(operation.options["axis"], np.int64)
    return builder.add("CumSum", builder.name(operation.inputs[0]), axis)


def _astype(builder: OnnxBuilder, operation: Operation) -> str:
    code = _CODES[np.dtype(operation.options["dtype"]).name]
    return builder.add("Cast", builder.name(operation.inputs[0]), to=code)


def _unary(op_type: str) -> Build:
    return lambda builder, operation: builder.add(op_type, builder.name(operation.inputs[0]))


def _binary(op_type: str) -> Build:
    def build(builder: OnnxBuilder, operation: Operation) -> str:
        dtype = operation.result.dtype
        names = [
            item if isinstance(item, str) else builder.constant(item, dtype)
            for item in operation.operands(builder.name)
        ]
        return builder.add(op_type, *names)

    return build


def _along(op_type: str) -> Build:
    """Return an entry for Softmax and LogSoftmax."""

    def build(builder: OnnxBuilder, operation: Operation) -> str:
        x = operation.inputs[0]
        return builder.add(op_type, builder.name(x), axis=operation.options["dim"])

    return build


def _reduction(op_type: str) -> Build:
    def build(builder: OnnxBuilder, operation: Operation) -> str:
        x, axes = builder.name(operation.inputs[0]), operation.options["axis"]
        kept = operation.options["keepdims"]
        if op_type == "ReduceSum":  # alone has its axes as an input in this opset
            return builder.add(op_type, x, builder.size(axes), keepdims=kept)
        return builder.add(op_type, x, axes=axes, keepdims=kept)

    return build


def _clip(builder: OnnxBuilder, operation: Operation) -> str:
    x, options = operation.inputs[0], operation.options
    assert x is not None
    limits = [
        "" if options[name] is None else builder.constant(options[name], x.dtype)
        for name in ("minimum", "maximum")
    ]
    return builder.add("Clip", builder.name(x), *limits)


def _where(builder: OnnxBuilder, operation: Operation) -> str:
    condition = operation.options["condition"]
    chosen = builder.constant(to_cpu(condition.array).astype(bool))
    dtype = operation.result.dtype
    names = [
        item if isinstance(item, str) else builder.constant(item, dtype)
        for item in operation.operands(builder.name)
    ]
    return builder.add("Where", chosen, *names)


def _shaped(op_type: str) -> Build:
    def build(builder: OnnxBuilder, operation: Operation) -> str:
        x = builder.name(operation.inputs[0])
        return builder.add(op_type, x, builder.size(operation.options["shape"]))

    return build


def _transpose(builder: OnnxBuilder, operation: Operation) -> str:
    x = builder.name(operation.inputs[0])
    return builder.add("Transpose", x, perm=operation.options["axes"])


def _concatenate(builder: OnnxBuilder, operation: Operation) -> str:
    names = map(builder.name, operation.inputs)
    return builder.add("Concat", *names, axis=operation.options["axis"])


def _stack(builder: OnnxBuilder, operation: Operation) -> str:
    axis = operation.options["axis"]
    place = builder.size([axis])
    parts = [builder.step("Unsqueeze", builder.name(x), place) for x in operation.inputs]
    return builder.add("Concat", *parts, axis=axis)


def _matmul(builder: OnnxBuilder, operation: Operation) -> str:
    if any(value is None for value in operation.inputs):
        raise builder.unsupported(operation, "one operand is an array and no Tensor")
    return builder.add("MatMul", *map(builder.name, operation.inputs))


OPERATIONS: dict[str, Build] = {
    "conv2d": _convolution("Conv"),
    "conv_transpose2d": _convolution("ConvTranspose"),
    "linear": _linear,
    "batch_norm": _batch_norm(relu=False),
    "batch_norm_relu": _batch_norm(relu=True),
    "max_pool2d": max_pool2d,
    "max_unpool2d": max_unpool2d,
    "avg_pool2d": avg_pool2d,
    "interpolate": _interpolate,
    "pad": _pad,
    "relu": _unary("Relu"),
    "leaky_relu": _leaky_relu,
    "softplus": _unary("Softplus"),
    "softmax": _along("Softmax"),
    "log_softmax": _along("LogSoftmax"),
    "dropout": _dropout,
    "dropout2d": _dropout,
    "getitem": _getitem,
    "astype": _astype,
    "reshape": _shaped("Reshape"),
    "broadcast_to": _shaped("Expand"),
    "transpose": _transpose,
    "concatenate": _concatenate,
    "stack": _stack,
    "matmul": _matmul,
    "cumsum": _cumsum,
    "sum": _reduction("ReduceSum"),
    "mean": _reduction("ReduceMean"),
    "max": _reduction("ReduceMax"),
    "min": _reduction("ReduceMin"),
    "clip": _clip,
    "where": _where,
    "add": _binary("Add"),
    "sub": _binary("Sub"),
    "mul": _binary("Mul"),
    "div": _binary("Div"),
    "pow": _binary("Pow"),
    "maximum": _binary("Max"),
    "minimum": _binary("Min"),
    "neg": _unary("Neg"),
    "exp": _unary("Exp"),
    "log": _unary("Log"),
    "sqrt": _unary("Sqrt"),
    "round": _unary("Round"),
    "abs": _unary("Abs"),
    "tanh": _unary("Tanh"),
    "sigmoid": _unary("Sigmoid"),
    "sin": _unary("Sin"),
    "cos": _unary("Cos"),
}
"""What builds each operation, by its name on the tape."""
