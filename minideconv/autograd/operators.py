"""Operators and methods of Tensor: ``x + y``, ``x < y``, ``x += y``, ``x[...] = y``, ``x.sum()``.

Those that compute are the functions of `elementwise`, `reductions` and `shapes`, put into the class
at the end of this file. Comparisons give plain bool arrays, since a truth value has no gradient.

The tape cannot record a change in place, since a backward may need the values that are overwritten.
Changes in place are for constants and, inside ``no_grad()``, for parameters. Each counts up the
version of the memory, so that a backward which does need the former values stops with an error.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from minideconv.autograd import elementwise, gradients, reductions, shapes
from minideconv.autograd.broadcasting import explain, operands
from minideconv.autograd.grad_mode import is_grad_enabled
from minideconv.autograd.methods import Operand, read_array
from minideconv.autograd.tensor import Tensor
from minideconv.backend import Array, get_xp, to_default_device, to_device
from minideconv.backend.dispatch import device_guard

__all__ = ["Operators", "setitem"]

Binary: TypeAlias = Callable[[Operand, Operand], Tensor]


def _reflected(operation: Binary) -> Binary:
    """Return `operation` with its operands exchanged, for ``2 - x`` and the like."""
    return lambda a, b: operation(b, a)


def _comparison(sign: str, compare: Any) -> Callable[[Tensor, Any], Array]:
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


def _in_place(sign: str, operation: Binary, change: Any) -> Callable[[Tensor, Operand], Tensor]:
    """Make ``+=`` and the like: in place for a constant, a new tensor where the tape is running.

    On a recorded tensor ``y += x`` means ``y = y + x``. On a leaf that requires gradients that
    would lose the leaf without a word, so it is an error there.
    """
    name = f"x {sign}= value"

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
    array = read_array(name, value)
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


class Operators:
    """What is put into the class Tensor: each method is a function that is written elsewhere."""

    T = property(shapes.permute, doc="This tensor with its axes in reverse order.")
    __getitem__ = shapes.getitem
    __setitem__ = setitem

    __neg__ = elementwise.neg
    __abs__ = abs = elementwise.abs
    __add__, __radd__ = elementwise.add, _reflected(elementwise.add)
    __sub__, __rsub__ = elementwise.sub, _reflected(elementwise.sub)
    __mul__, __rmul__ = elementwise.mul, _reflected(elementwise.mul)
    __truediv__, __rtruediv__ = elementwise.div, _reflected(elementwise.div)
    __pow__, __rpow__ = elementwise.pow, _reflected(elementwise.pow)
    __matmul__, __rmatmul__ = reductions.matmul, _reflected(reductions.matmul)
    __iadd__ = _in_place("+", elementwise.add, operator.iadd)
    __isub__ = _in_place("-", elementwise.sub, operator.isub)
    __imul__ = _in_place("*", elementwise.mul, operator.imul)
    __itruediv__ = _in_place("/", elementwise.div, operator.itruediv)

    __lt__, __le__ = _comparison("<", operator.lt), _comparison("<=", operator.le)
    __gt__, __ge__ = _comparison(">", operator.gt), _comparison(">=", operator.ge)
    # Ignored below: these return arrays, as NumPy's do, where `object` declares a bool.
    __eq__ = _comparison("==", operator.eq)  # type: ignore[assignment]
    __ne__ = _comparison("!=", operator.ne)  # type: ignore[assignment]
    __hash__ = object.__hash__  # tensors are keys by what they are, not by their numbers

    clip, exp, log = elementwise.clip, elementwise.exp, elementwise.log
    sigmoid, sqrt, tanh = elementwise.sigmoid, elementwise.sqrt, elementwise.tanh
    max, mean, min = reductions.max, reductions.mean, reductions.min
    sum, var = reductions.sum, reductions.var
    astype, broadcast_to, flatten = shapes.astype, shapes.broadcast_to, shapes.flatten
    permute, reshape, squeeze = shapes.permute, shapes.reshape, shapes.squeeze
    swapaxes, to, unsqueeze = shapes.swapaxes, shapes.to, shapes.unsqueeze
    transpose = shapes.transpose
    _backward_with_graph = gradients.backward_with_graph


for _name, _method in vars(Operators).items():
    if callable(_method) or isinstance(_method, property):
        setattr(Tensor, _name, _method)
