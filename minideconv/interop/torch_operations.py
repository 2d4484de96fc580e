"""Which function or module of PyTorch's computes which operation: `OPERATIONS`.

Each entry takes the twin that is being built and an `Operation`, and returns the node of PyTorch's
graph that has the result. Names and meanings are the same nearly everywhere, as `functional` was
written to have them; where they are not, the entry says how. PyTorch is imported inside them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from minideconv.errors import UsageError
from minideconv.nn.graph import Operation, Value

__all__ = ["OPERATIONS"]

Build = Callable[[Any, Operation], Any]


def _window(options: Any) -> dict[str, Any]:
    return {name: options[name] for name in ("stride", "padding", "dilation", "groups")}


def _conv2d(twin: Any, operation: Operation) -> Any:
    x, weight, bias = operation.inputs
    assert x is not None
    assert weight is not None
    window = _window(operation.options)
    channels, kernel = weight.shapes[0][0], weight.shapes[0][2:]

    def make() -> Any:
        return twin.torch.nn.utils.skip_init(
            twin.torch.nn.Conv2d, x.length(1), channels, kernel, bias=bias is not None, **window
        )

    found = twin.layer(operation, make, weight=weight, bias=bias)
    if found is None:
        arrays = map(twin.node, operation.inputs)
        found = twin.call(twin.torch.nn.functional.conv2d, *arrays, **window)
    return found


def _conv_transpose2d(twin: Any, operation: Operation) -> Any:
    x, weight, bias = operation.inputs
    assert x is not None
    assert weight is not None
    window = _window(operation.options) | {"output_padding": operation.options["output_padding"]}
    channels, kernel = weight.shapes[0][1] * window["groups"], weight.shapes[0][2:]

    def make() -> Any:
        return twin.torch.nn.utils.skip_init(
            twin.torch.nn.ConvTranspose2d, x.length(1), channels, kernel, bias=bias is not None,
            **window,
        )  # fmt: skip

    found = twin.layer(operation, make, weight=weight, bias=bias)
    if found is None:
        arrays = map(twin.node, operation.inputs)
        found = twin.call(twin.torch.nn.functional.conv_transpose2d, *arrays, **window)
    return found


def _linear(twin: Any, operation: Operation) -> Any:
    _, weight, bias = operation.inputs
    assert weight is not None
    outputs, inputs = weight.shapes[0]

    def make() -> Any:
        return twin.torch.nn.utils.skip_init(
            twin.torch.nn.Linear, inputs, outputs, bias=bias is not None
        )

    found = twin.layer(operation, make, weight=weight, bias=bias)
    if found is None:
        found = twin.call(twin.torch.nn.functional.linear, *map(twin.node, operation.inputs))
    return found


def _batch_norm(twin: Any, operation: Operation) -> Any:
    """In evaluation mode the same; in training the module averages as ours does."""
    x, weight, bias = operation.inputs
    options = operation.options
    mean, var = options["running_mean"], options["running_var"]
    if mean is None and var is None:
        arguments = [twin.node(value) for value in (x, None, None, weight, bias)]
        return twin.call(twin.torch.nn.functional.batch_norm, *arguments, True, 0.0, options["eps"])
    if options["training"] or not isinstance(mean, Value) or not isinstance(var, Value):
        raise UsageError(
            "interop.torch: batch_norm normalises by the statistics of its own batch, also in"
            " evaluation, and has running statistics; that is not translated"
        )
    assert x is not None
    channels, affine = x.length(1), weight is not None

    def make() -> Any:
        return twin.torch.nn.BatchNorm2d(channels, options["eps"], options["momentum"], affine)

    arrays = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": var}
    found = twin.layer(operation, make, **arrays)
    if found is None:
        arguments = [twin.node(value) for value in (x, mean, var, weight, bias)]
        found = twin.call(
            twin.torch.nn.functional.batch_norm, *arguments, False, 0.0, options["eps"]
        )
    return found


def _max_pool2d(twin: Any, operation: Operation) -> Any:
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    window = {name: operation.options[name] for name in names}
    x = twin.node(operation.inputs[0])
    if not operation.gives_switches:
        return twin.call(twin.torch.max_pool2d, x, **window)
    # The function under F.max_pool2d(return_indices=True), which gives indices into the plane.
    both = twin.call(twin.torch.nn.functional.max_pool2d_with_indices, x, **window)
    twin.indices[operation] = twin.call(operator.getitem, both, 1)
    return twin.call(operator.getitem, both, 0)


def _max_unpool2d(twin: Any, operation: Operation) -> Any:
    pool = operation.options["switches"]
    window = pool.options
    tiles = all(k <= step for k, step in zip(window["kernel_size"], window["stride"], strict=True))
    if not tiles:
        raise UsageError(
            f"interop.torch: max_unpool2d of windows that overlap (kernel {window['kernel_size']},"
            f" stride {window['stride']}) is not translated: PyTorch does not say which of two"
            " values for one pixel stays"
        )
    pooled = pool.inputs[0]
    size = [twin.graph.call_method("size", (twin.node(pooled), axis)) for axis in (2, 3)]
    return twin.call(
        twin.torch.nn.functional.max_unpool2d,
        twin.node(operation.inputs[0]),
        twin.indices[pool],
        window["kernel_size"],
        window["stride"],
        window["padding"],
        tuple(size),
    )


def _interpolate(twin: Any, operation: Operation) -> Any:
    options = operation.options
    corners = options["align_corners"] if options["mode"] == "bilinear" else None
    factor = options["scale_factor"]
    if factor is not None:
        both = factor if isinstance(factor, tuple) else (factor, factor)
        # PyTorch rounds the product with the size down, also where rounding the factor, as of
        # 120 / 88, has made it fall short. Such a factor is made larger by one rounding.
        both = tuple(f if (f * 1024.0).is_integer() else f * (1 + 2**-51) for f in both)
        factor = factor if both in ((factor, factor), factor) else both
    return twin.call(
        twin.torch.nn.functional.interpolate,
        twin.node(operation.inputs[0]),
        size=twin.size(options["size"]),
        scale_factor=factor,
        mode=options["mode"],
        align_corners=corners,
    )


def _dropout(twin: Any, operation: Operation) -> Any:
    """Call a module, which does nothing in evaluation and drops in training."""
    kind = "Dropout2d" if operation.name == "dropout2d" else "Dropout"
    name = operation.module or "dropout"
    while hasattr(twin.root, name) or "." in name:  # called twice, or in another module
        name = f"{name.replace('.', '_')}_again"
    twin.put(name, getattr(twin.torch.nn, kind)(operation.options["p"]))
    return twin.graph.call_module(name, (twin.node(operation.inputs[0]),))


def _getitem(twin: Any, operation: Operation) -> Any:
    key = []
    for part in operation.options["key"]:
        if isinstance(part, Value):
            part = twin.node(part)
        elif isinstance(part, tuple):
            part = list(part)
        if isinstance(part, slice):
            stop = None if part.stop is True else twin.size(part.stop)
            part = slice(twin.size(part.start), stop, part.step)
        key.append(part)
    return twin.call(operator.getitem, twin.node(operation.inputs[0]), tuple(key))


def _pad(twin: Any, operation: Operation) -> Any:
    options = operation.options
    value = options["value"] if options["mode"] == "constant" else None
    return twin.call(
        twin.torch.nn.functional.pad,
        twin.node(operation.inputs[0]),
        twin.size(options["pad"]),
        options["mode"],
        value,
    )


def _astype(twin: Any, operation: Operation) -> Any:
    dtype = getattr(twin.torch, np.dtype(operation.options["dtype"]).name)
    return twin.graph.call_method("to", (twin.node(operation.inputs[0]), dtype))


def _softplus(twin: Any, operation: Operation) -> Any:
    """PyTorch's own replaces it by x above 20."""
    turned = twin.call(twin.torch.neg, twin.node(operation.inputs[0]))
    return twin.call(twin.torch.neg, twin.call(twin.torch.nn.functional.logsigmoid, turned))


def _function(path: str, **renamed: str) -> Build:
    """Return an entry for a function whose options are the same, but for their names."""

    def build(twin: Any, operation: Operation) -> Any:
        function = twin.torch
        for part in path.split("."):
            function = getattr(function, part)
        options = {
            renamed.get(name, name): twin.size(value) for name, value in operation.options.items()
        }
        return twin.call(function, *map(twin.node, operation.inputs), **options)

    return build


def _binary(path: str) -> Build:
    """Return an entry for a function of two arrays, of which one may be a number."""

    def build(twin: Any, operation: Operation) -> Any:
        arguments = operation.operands(twin.node)
        numbers = [argument for argument in arguments if isinstance(argument, int | float)]
        if numbers and path in _LIMITS:  # these two take tensors alone
            (array,) = [argument for argument in arguments if argument is not numbers[0]]
            return twin.call(twin.torch.clamp, array, **{_LIMITS[path]: numbers[0]})
        return twin.call(getattr(twin.torch, path), *arguments)

    return build


_LIMITS = {"maximum": "min", "minimum": "max"}


def _joined(path: str) -> Build:
    def build(twin: Any, operation: Operation) -> Any:
        arrays = [twin.node(value) for value in operation.inputs]
        return twin.call(getattr(twin.torch, path), arrays, operation.options["axis"])

    return build


def _method(name: str, option: str) -> Build:
    def build(twin: Any, operation: Operation) -> Any:
        size = twin.size(operation.options[option])
        return twin.graph.call_method(name, (twin.node(operation.inputs[0]), size))

    return build


OPERATIONS: dict[str, Build] = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "max_pool2d": _max_pool2d,
    "max_unpool2d": _max_unpool2d,
    "avg_pool2d": _function("nn.functional.avg_pool2d"),
    "interpolate": _interpolate,
    "pad": _pad,
    "relu": _function("relu"),
    "leaky_relu": _function("nn.functional.leaky_relu"),
    "softplus": _softplus,
    "cumsum": _function("cumsum"),
    "softmax": _function("softmax"),
    "log_softmax": _function("log_softmax"),
    "dropout": _dropout,
    "dropout2d": _dropout,
    "getitem": _getitem,
    "astype": _astype,
    "reshape": _method("reshape", "shape"),
    "broadcast_to": _method("expand", "shape"),
    "transpose": _method("permute", "axes"),
    "concatenate": _joined("cat"),
    "stack": _joined("stack"),
    "matmul": _function("matmul"),
    "sum": _function("sum", axis="dim", keepdims="keepdim"),
    "mean": _function("mean", axis="dim", keepdims="keepdim"),
    "max": _function("amax", axis="dim", keepdims="keepdim"),
    "min": _function("amin", axis="dim", keepdims="keepdim"),
    "clip": _function("clamp", minimum="min", maximum="max"),
    **{name: _binary(name) for name in ("add", "sub", "mul", "div", "pow", "maximum", "minimum")},
    **{
        name: _function(name)
        for name in ("neg", "exp", "log", "sqrt", "abs", "tanh", "sigmoid", "sin", "cos", "round")
    },
}
"""What builds each operation, by its name on the tape."""
