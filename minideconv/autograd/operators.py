"""Operators and methods of Tensor: ``x + y``, ``x < y``, ``x += y``, ``x[...] = y``, ``x.sum()``.

Those that compute are the functions of `elementwise`, `reductions` and `shapes`, put into the class
at the end of this file. Comparisons give plain bool arrays, since a truth value has no gradient.

The tape cannot record a change in place, since a backward may need the values that are overwritten.
Changes in place are for constants and, inside ``no_grad()``, for parameters. Each counts up the
version of the memory, so that a backward which does need the former values stops with an error.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from minideconv.autograd import elementwise, reductions, shapes
from minideconv.autograd.broadcasting import explain, operands
from minideconv.autograd.grad_mode import is_grad_enabled
from minideconv.autograd.methods import Operand
from minideconv.autograd.tensor import Tensor
from minideconv.backend import get_xp, to_default_device, to_device
from minideconv.backend.dispatch import device_guard

__all__ = ["setitem"]


def _reflected(operation: Any) -> Any:
    """Return `operation` with its operands exchanged, for ``2 - x`` and the like."""
    return lambda a, b: operation(b, a)


def _comparison(sign: str, compare: Any) -> Any:
    """Make ``<`` and the like."""

    def operation(a: Tensor, b: Any) -> Any:
        if not isinstance(b, (Tensor, bool, int, float, np.generic, list, tuple)) and not hasattr(
            b, "__array_function__"
        ):
            return NotImplemented  # so that `tensor == None` is False
        _, _, x, y = operands(sign, a, b)
        try:
            return get_xp(x).asarray(compare(x, y))
        except (TypeError, ValueError) as error:
            explain(sign, x, y, error)

    operation.__name__ = sign
    return device_guard(operation)


# ---- in place ------------------------------------------------------------------------------------


@device_guard
def setitem(x: Tensor, key: Any, value: Operand) -> None:
    """Change elements of `x` in place: ``x[key] = value``. The tape cannot record this."""
    name = "x[...] = value"
    new = _new_value(name, x, value)
    try:
        index, _ = shapes.read_index(key)
        if isinstance(value, list | tuple):  # whole, before the first element is written
            new = to_device(np.asarray(value, x.dtype), x.device)
        x.data[index] = new
    except IndexError as error:
        raise IndexError(f"{name}: {error}; the tensor has shape {x.shape}") from None
    except (OverflowError, TypeError, ValueError) as error:
        raise _unfit(error, name, x, new) from None
    x.bump_version()


def _in_place(sign: str, word: str) -> Any:
    """Make ``+=`` and the like: in place for a constant, a new tensor where the tape is running.

    On a recorded tensor ``y += x`` means ``y = y + x``. On a leaf that requires gradients that
    would lose the leaf without a word, so it is an error there.
    """
    name = f"x {sign}= value"
    operation, change = _METHODS[f"__{word}__"], getattr(operator, f"i{word}")

    def update(x: Tensor, value: Operand) -> Tensor:
        if is_grad_enabled() and (
            not x.is_leaf or (not x.requires_grad and getattr(value, "requires_grad", False))
        ):
            return operation(x, value)
        new = _new_value(name, x, value)
        try:
            change(x.data, new)
        except (OverflowError, TypeError, ValueError) as error:
            raise _unfit(error, name, x, new) from None
        x.bump_version()
        return x

    update.__name__ = name
    return device_guard(update)


def _new_value(name: str, x: Tensor, value: Any) -> Any:
    """Return what `x` is changed with: an array of real numbers, or one of Python's numbers."""
    if is_grad_enabled() and (x.requires_grad or getattr(value, "requires_grad", False)):
        what = "the value requires" if not x.requires_grad else "this tensor requires"
        raise RuntimeError(
            f"{name}: {what} gradients and a change in place cannot be recorded; make it inside "
            "no_grad(), or compute a new tensor"
        )
    if get_xp(x.data) is np and not x.data.flags.writeable:
        raise ValueError(f"{name}: this tensor is read-only; change a copy of it")
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, bool | int | float):  # these take any type
        return value
    try:
        array: Any = np.asarray(value) if get_xp(value) is np else value
    except ValueError:
        raise ValueError(f"{name}: the rows of a nested list must have equal lengths") from None
    if array.dtype.kind not in "fiub":
        raise _unfit(TypeError(), name, x, array)
    return to_default_device(array) if hasattr(value, "shape") else to_device(array, x.device)


def _unfit(error: Exception, name: str, x: Tensor, value: Any) -> Exception:
    """Return the sentence for a value that does not go into `x`."""
    kind = TypeError if isinstance(error, TypeError) else ValueError
    given = f"shape {np.shape(value)} and dtype {getattr(value, 'dtype', type(value).__name__)}"
    return kind(
        f"{name}: a value of {given} does not fit into a tensor of shape {x.shape} and dtype "
        f"{x.dtype} on {x.device}"
    )


# ---- into the class ------------------------------------------------------------------------------


_METHODS: dict[str, Any] = {
    "T": property(shapes.permute, doc="This tensor with its axes in reverse order."),
    "__getitem__": shapes.getitem,
    "__setitem__": setitem,
    "__neg__": elementwise.neg,
    "__abs__": elementwise.abs,
}
for _name, _operation in {
    "add": elementwise.add,
    "sub": elementwise.sub,
    "mul": elementwise.mul,
    "truediv": elementwise.div,
    "pow": elementwise.pow,
    "matmul": reductions.matmul,
}.items():
    _METHODS[f"__{_name}__"] = _operation
    _METHODS[f"__r{_name}__"] = _reflected(_operation)
for _sign, _name in {"+": "add", "-": "sub", "*": "mul", "/": "truediv"}.items():
    _METHODS[f"__i{_name}__"] = _in_place(_sign, _name)
for _sign, _name in {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}.items():
    _METHODS[f"__{_name}__"] = _comparison(_sign, getattr(operator, _name))
for _room, _names in (
    (elementwise, ("abs", "clip", "exp", "log", "sigmoid", "sqrt", "tanh")),
    (reductions, ("max", "mean", "min", "sum", "var")),
    (shapes, ("astype", "broadcast_to", "flatten", "permute", "reshape", "squeeze")),
    (shapes, ("swapaxes", "to", "transpose", "unsqueeze")),
):
    _METHODS |= {_name: getattr(_room, _name) for _name in _names}
for _name, _operation in _METHODS.items():
    setattr(Tensor, _name, _operation)
