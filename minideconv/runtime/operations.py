"""Operations of a recorded network, by their names: `OPERATIONS`, and `computed`.

Convolutions, normalisation and pooling have steps of their own (`steps`). All other operations are
carried out as the network itself would, by the function or method on Tensors, of which none
requires gradients: nothing is written on the tape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minideconv import functional as F
from minideconv.autograd import Tensor, elementwise, reductions, shapes
from minideconv.autograd.tensor import wrap
from minideconv.backend import Array
from minideconv.errors import UsageError
from minideconv.nn.graph import Length, Operation, Value

__all__ = ["OPERATIONS", "computed", "resolved"]

Shape = tuple[int, ...]
Carry = Callable[[Sequence[Any], dict[str, Any]], Any]


def _function(function: Callable[..., Any]) -> Carry:
    """Return an entry for a function whose options have the names that the tape has."""
    return lambda inputs, options: function(*inputs, **options)


def _operands(inputs: Sequence[Any], options: dict[str, Any]) -> list[Any]:
    """Return both operands: Tensors, or numbers among the options."""
    return [options[k] if x is None else x for k, x in zip("ab", inputs, strict=True)]


def _binary(function: Callable[..., Any]) -> Carry:
    return lambda inputs, options: function(*_operands(inputs, options))


def _joined(function: Callable[..., Any]) -> Carry:
    return lambda inputs, options: function(list(inputs), **options)


def _method(name: str, option: str) -> Carry:
    return lambda inputs, options: getattr(inputs[0], name)(options[option])


def _where(inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    return elementwise.where(options["condition"], *_operands(inputs, options))


def _getitem(inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    key = [list(part) if isinstance(part, tuple) else part for part in options["key"]]
    return inputs[0][tuple(key)]


def _batch_norm(inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    """By the batch's own statistics, without running ones: parts of `group_norm` and others."""
    x, weight, bias = inputs
    return F.batch_norm(x, weight=weight, bias=bias, **options)


def _max_unpool2d(inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    return F.max_unpool2d(inputs[0], **options)


OPERATIONS: dict[str, Carry] = {
    "conv2d": _function(F.conv2d),
    "conv_transpose2d": _function(F.conv_transpose2d),
    "conv2d_weight_grad": _function(F.conv2d_weight_grad),
    "linear": _function(F.linear),
    "batch_norm": _batch_norm,
    "avg_pool2d": _function(F.avg_pool2d),
    "max_unpool2d": _max_unpool2d,
    "interpolate": _function(F.interpolate),
    "pad": _function(F.pad),
    "relu": _function(F.relu),
    "leaky_relu": _function(F.leaky_relu),
    "softplus": _function(F.softplus),
    "softmax": _function(F.softmax),
    "log_softmax": _function(F.log_softmax),
    "getitem": _getitem,
    "astype": _method("astype", "dtype"),
    "reshape": _method("reshape", "shape"),
    "broadcast_to": _method("broadcast_to", "shape"),
    "transpose": _method("transpose", "axes"),
    "concatenate": _joined(shapes.concatenate),
    "stack": _joined(shapes.stack),
    "matmul": _function(reductions.matmul),
    "cumsum": lambda inputs, options: inputs[0].cumsum(**options),
    "sum": lambda inputs, options: inputs[0].sum(**options),
    "mean": lambda inputs, options: inputs[0].mean(**options),
    "var": lambda inputs, options: inputs[0].var(**options),
    "max": lambda inputs, options: inputs[0].max(**options),
    "min": lambda inputs, options: inputs[0].min(**options),
    "clip": lambda inputs, options: inputs[0].clip(**options),
    "clone": lambda inputs, options: inputs[0],
    "where": _where,
    **{
        name: _binary(getattr(elementwise, name))
        for name in ("add", "sub", "mul", "div", "floordiv", "mod", "pow", "maximum", "minimum")
    },
    **{
        name: _function(getattr(elementwise, name))
        for name in ("neg", "exp", "log", "sqrt", "abs", "tanh", "sigmoid", "sin", "cos", "round")
    },
}
"""What carries an operation out: called with its inputs, Tensors or None, and its options."""


def computed(
    name: str, inputs: Sequence[Array | None], options: Mapping[str, Any], title: str
) -> Array:
    """Return the result of one operation on arrays.

    Raises
    ------
    UsageError
        If there is no such operation here.
    """
    carry = OPERATIONS.get(name)
    if carry is None:
        raise unknown(name, title)
    tensors = [None if array is None else wrap(array) for array in inputs]
    result: Tensor = carry(tensors, dict(options))
    return result.data


def unknown(name: str, title: str) -> UsageError:
    """Return the error for an operation that no plan can have."""
    return UsageError(f"inference: {title} has the operation {name}, which no plan can have yet")


def resolved(
    option: Any, shape_of: Callable[[Value], Shape], array_of: Callable[[Value], Any]
) -> Any:
    """Return an option of a graph with numbers for lengths, and arrays for values."""
    if isinstance(option, Length):
        return option.times * shape_of(option.value)[option.axis] + option.plus
    if isinstance(option, Value):
        return array_of(option)
    if isinstance(option, slice):
        stop = None if option.stop is True else resolved(option.stop, shape_of, array_of)
        return slice(resolved(option.start, shape_of, array_of), stop, option.step)
    if isinstance(option, tuple) and not isinstance(option, Operation):
        return tuple([resolved(part, shape_of, array_of) for part in option])
    return option
