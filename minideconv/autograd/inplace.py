"""Tensors changed in place: ``x[...] = value``, ``x += value``.

The tape cannot record these, since a backward may need the values that are overwritten. They are
for constants and, inside ``no_grad()``, for parameters. Each counts up the version of the memory,
so that a backward which does need the former values stops with an error.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.autograd.elementwise import add, div, mul, sub
from minideconv.autograd.grad_mode import is_grad_enabled
from minideconv.autograd.methods import Operand
from minideconv.autograd.shapes import read_index
from minideconv.autograd.tensor import Tensor
from minideconv.backend import get_xp, to_default_device, to_device
from minideconv.backend.device_guard import device_guard

__all__ = ["setitem"]


@device_guard
def setitem(x: Tensor, key: Any, value: Operand) -> None:
    """Change elements of `x` in place: ``x[key] = value``. The tape cannot record this."""
    name = "x[...] = value"
    _check_in_place(name, x, value)
    new = _array_or_number(name, x, value)
    try:
        index, _ = read_index(key)
        if isinstance(value, list | tuple):  # whole, before the first element is written
            new = to_device(np.asarray(value, x.dtype), x.device)
        x.data[index] = new
    except IndexError as error:
        raise IndexError(f"{name}: {error}; the tensor has shape {x.shape}") from None
    except (OverflowError, TypeError, ValueError) as error:
        raise _unfit(error, name, x, new) from None
    x.bump_version()


def _in_place(name: str, operation: Any, function: str) -> Any:
    """Make ``+=`` and the like: in place for a constant, a new tensor where the tape is running.

    On a recorded tensor ``y += x`` means ``y = y + x``. On a leaf that requires gradients that
    would lose the leaf without a word, so it is an error there.
    """

    def update(x: Tensor, value: Operand) -> Tensor:
        if is_grad_enabled() and (
            not x.is_leaf or (not x.requires_grad and getattr(value, "requires_grad", False))
        ):
            return operation(x, value)
        _check_in_place(name, x, value)
        new = _array_or_number(name, x, value)
        try:
            getattr(get_xp(x.data), function)(x.data, new, out=x.data)
        except (OverflowError, TypeError, ValueError) as error:
            raise _unfit(error, name, x, new) from None
        x.bump_version()
        return x

    update.__name__ = name
    return device_guard(update)


def _array_or_number(name: str, x: Tensor, value: Operand) -> Any:
    """Return what `x` is changed with: an array of real numbers, or one of Python's numbers."""
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


def _check_in_place(name: str, x: Tensor, value: Any) -> None:
    if is_grad_enabled() and (x.requires_grad or getattr(value, "requires_grad", False)):
        what = "the value requires" if not x.requires_grad else "this tensor requires"
        raise RuntimeError(
            f"{name}: {what} gradients and a change in place cannot be recorded; make it inside "
            "no_grad(), or compute a new tensor"
        )
    if get_xp(x.data) is np and not x.data.flags.writeable:
        raise ValueError(f"{name}: this tensor is read-only; change a copy of it")


# ---- what becomes an operator of Tensor ----------------------------------------------------------

_OPERATORS: dict[str, Any] = {
    "__setitem__": setitem,
    "__iadd__": _in_place("x += value", add, "add"),
    "__isub__": _in_place("x -= value", sub, "subtract"),
    "__imul__": _in_place("x *= value", mul, "multiply"),
    "__itruediv__": _in_place("x /= value", div, "true_divide"),
}
for _name, _operation in _OPERATORS.items():
    setattr(Tensor, _name, _operation)
