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
from typing import Any, TypeAlias, cast

import numpy as np

from minideconv.autograd import (
    conversions,
    elementwise,
    gradients,
    named_operators,
    reductions,
    selection,
    shapes,
    statistics,
)
from minideconv.autograd.broadcasting import explain, operands
from minideconv.autograd.grad_mode import is_grad_enabled
from minideconv.autograd.in_place import METHODS, new_value, unfit
from minideconv.autograd.methods import Operand
from minideconv.autograd.numpy_functions import refuse_function, ufunc_of
from minideconv.autograd.other_names import INSTEAD, NoMethod
from minideconv.autograd.tensor import Tensor
from minideconv.backend import Array, get_xp, to_device
from minideconv.backend.checks import shown
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


def _converted(dtype: Any) -> Callable[[Tensor], Tensor]:
    """Make ``x.float()`` and the like."""

    def convert(x: Tensor) -> Tensor:
        return conversions.astype(x, dtype)

    convert.__doc__ = f"Return this tensor as {np.dtype(dtype)}, itself if it is."
    return convert


def _shape_of(name: str, other: Any) -> tuple[int, ...]:
    if not isinstance(other, Tensor) and not hasattr(other, "shape"):
        raise TypeError(f"{name}: other is {shown(other)}; it must be a Tensor")
    shape: tuple[int, ...] = other.shape
    return shape


# ---- in place ------------------------------------------------------------------------------------


@device_guard
def setitem(x: Tensor, key: Any, value: Operand) -> None:
    """Change elements of `x` in place: ``x[key] = value``. The tape cannot record this."""
    name = "x[...] = value"
    new = new_value(name, x, value)
    try:
        index, _ = shapes.read_index(key)
        if isinstance(value, list | tuple):  # whole, before the first element is written
            new = to_device(np.asarray(value, x.dtype), x.device)
        x.data[index] = new
    except IndexError as error:
        raise IndexError(f"{name}: {error}; the tensor has shape {x.shape}") from None
    except (OverflowError, TypeError, ValueError) as error:
        raise unfit(error, name, x, new) from None
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
        new = new_value(name, x, value)
        try:
            change(x.data, new)
        except (OverflowError, TypeError, ValueError) as error:
            raise unfit(error, name, x, new) from None
        x.bump_version()
        return x

    update.__name__ = name
    return device_guard(update)


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
    __floordiv__, __rfloordiv__ = elementwise.floordiv, _reflected(elementwise.floordiv)
    __mod__, __rmod__ = elementwise.mod, _reflected(elementwise.mod)
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

    eq, ne = named_operators.comparison("eq", __eq__), named_operators.comparison("ne", __ne__)
    lt, le = named_operators.comparison("lt", __lt__), named_operators.comparison("le", __le__)
    gt, ge = named_operators.comparison("gt", __gt__), named_operators.comparison("ge", __ge__)
    add, sub, div = named_operators.add, named_operators.sub, named_operators.div
    mul, neg, round = elementwise.mul, elementwise.neg, named_operators.round
    dot, mv = named_operators.dot, named_operators.mv
    clip, exp, log = elementwise.clip, elementwise.exp, elementwise.log
    clamp, cos, pow, sin = elementwise.clip, elementwise.cos, elementwise.pow, elementwise.sin
    sigmoid, sqrt, tanh = elementwise.sigmoid, elementwise.sqrt, elementwise.tanh
    max, mean, min = reductions.max, reductions.mean, reductions.min
    sum, var = reductions.sum, reductions.var
    matmul, mm, bmm = reductions.matmul, reductions.mm, reductions.bmm
    all, any = statistics.all, statistics.any
    argmax, argmin, cumsum = statistics.argmax, statistics.argmin, statistics.cumsum
    bincount = statistics.bincount
    norm, prod, std = statistics.norm, statistics.prod, statistics.std
    astype, broadcast_to, flatten = conversions.astype, shapes.broadcast_to, shapes.flatten
    permute, reshape, squeeze = shapes.permute, shapes.reshape, shapes.squeeze
    swapaxes, to, unsqueeze = shapes.swapaxes, conversions.to, shapes.unsqueeze
    transpose = shapes.transpose
    _backward_with_graph = gradients.backward_with_graph
    view = shapes.reshape
    chunk, clone, expand, gather = (
        selection.chunk, selection.clone, selection.expand, selection.gather
    )  # fmt: skip
    masked_fill, repeat, split = selection.masked_fill, selection.repeat, selection.split
    diag, flip, topk = selection.diag, selection.flip, selection.topk
    bool, double, float, half, int, long = map(
        _converted, (np.bool_, np.float64, np.float32, np.float16, np.int32, np.int64)
    )

    relu: Any  # these are of `functional`, which puts them here
    softmax: Any
    log_softmax: Any

    def cpu(self) -> Any:
        """Return this tensor on the CPU, itself if it is there."""
        return conversions.to(cast("Tensor", self), "cpu")

    def cuda(self) -> Any:
        """Return this tensor on the GPU, itself if it is there."""
        return conversions.to(cast("Tensor", self), "gpu")

    def contiguous(self) -> Any:
        """Return this tensor if its rows lie one behind another in memory, else a copy.

        No operation here needs it; as in PyTorch the copy is no view of this tensor.
        """
        tensor = cast("Tensor", self)
        return tensor if tensor.data.flags.c_contiguous else conversions.copied(tensor)

    def t(self) -> Any:
        """Return a matrix transposed, a vector as it is; `T` reverses the axes of any tensor."""
        tensor = cast("Tensor", self)
        if tensor.ndim > 2:
            raise ValueError(
                f"t: the tensor has shape {tensor.shape}; it must have two axes at most;"
                " x.transpose(i, j) exchanges two, x.T reverses all"
            )
        return self.T

    def view_as(self, other: Tensor) -> Any:
        """Return this tensor in the shape of another."""
        return shapes.reshape(cast("Tensor", self), _shape_of("view_as", other))

    def expand_as(self, other: Tensor) -> Any:
        """Return this tensor repeated to the shape of another, without copying."""
        return shapes.broadcast_to(cast("Tensor", self), _shape_of("expand_as", other))

    __array_function__ = refuse_function
    __array_ufunc__ = ufunc_of({
        np.add: elementwise.add, np.subtract: elementwise.sub, np.multiply: elementwise.mul,
        np.true_divide: elementwise.div, np.floor_divide: elementwise.floordiv,
        np.remainder: elementwise.mod, np.power: elementwise.pow, np.matmul: reductions.matmul,
        np.less: __lt__, np.less_equal: __le__, np.greater: __gt__, np.greater_equal: __ge__,
        np.equal: __eq__, np.not_equal: __ne__,
    })  # fmt: skip


for _name, _method in (vars(Operators) | METHODS).items():
    if callable(_method) or isinstance(_method, property):
        setattr(Tensor, _name, _method)

for _name in INSTEAD["Tensor"].keys() - vars(Tensor).keys():
    _absent = NoMethod()
    _absent.__set_name__(Tensor, _name)
    setattr(Tensor, _name, _absent)
