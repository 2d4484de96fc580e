"""How a row of the table in `elementwise` becomes an operation on tensors.

`unary` and `binary` take plain functions of arrays, see to types, scalars, broadcasting and error
sentences, and put the result on the tape. What no VJP (see `elementwise`) needs is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np

from minideconv.autograd.grad_mode import is_grad_enabled
from minideconv.autograd.methods import FLOAT, Operand
from minideconv.autograd.record import record
from minideconv.autograd.tape import Backward
from minideconv.autograd.tensor import Tensor, wrap
from minideconv.backend import Array, device_of, get_xp, to_default_device
from minideconv.backend.dispatch import device_guard
from minideconv.backend.masks import selected
from minideconv.backend.sums import sum_over

__all__ = [
    "as_tensor", "binary", "check_one_device", "constant", "explain", "held",
    "numbers_among", "operands", "passed", "tensor_functions", "unary", "unbroadcast",
]  # fmt: skip


def as_tensor(value: Any) -> Tensor:
    """Return `value` if it is a Tensor, else a constant Tensor of it."""
    return value if isinstance(value, Tensor) else Tensor(value)


def constant(value: Any) -> Tensor:
    """Return `value` if it is a Tensor, else a constant Tensor of it that backward may rely on.

    An array is copied where operations are recorded: the program may change it unnoticed.
    """
    if isinstance(value, Tensor):
        return value
    made = Tensor(value)
    return wrap(made.data.copy()) if made.data is value and is_grad_enabled() else made


tensor_functions = SimpleNamespace()
"""What a VJP is given in place of NumPy, to compute with Tensors; `elementwise` fills it."""


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` down to `shape`: the adjoint of broadcasting an array of `shape` to ``g.shape``.

    Broadcasting copies a value to several places, so its gradient is the sum over these places.
    """
    if g.shape == shape:
        return g
    extra = g.ndim - len(shape)
    stretched = [extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1]
    axes = (*range(extra), *stretched)
    if isinstance(g, Tensor):
        return g.sum(axis=axes).reshape(shape)
    total = sum_over(g, axes).reshape(shape)
    return total if total.dtype is g.dtype else total.astype(g.dtype)


def passed(g: Any, mask: Array) -> Any:
    """Return the gradient `g` where the bool array `mask` is true, and 0 elsewhere.

    Also where it is not finite: ``g * mask`` would make NaN of an infinite gradient.
    """
    return tensor_functions.where(mask, g, 0.0) if isinstance(g, Tensor) else selected(g, mask)


def unary(
    title: str,
    forward: Callable[..., Array],
    vjp: Callable[..., Array],
    keep: str = "",
    of_floats: bool = False,
) -> Callable[[Operand], Tensor]:
    """Make an operation of one argument: ``forward(xp, x)``; `of_floats` makes floats of integers.

    `keep` names what its VJP needs: ``vjp(xp, g)``, ``vjp(xp, g, x)`` for "x", or ``vjp(xp, g, y)``
    for "y", the result. One that needs something returns a new array.
    """
    name = title.partition(":")[0]

    def backward(g: Array, needs: Sequence[bool], *saved: Array) -> tuple[Array]:
        return (vjp(get_xp(g), g, *saved),)

    def differentiable(g: Tensor, needs: Sequence[bool], *saved: Tensor) -> tuple[Any]:
        return (vjp(tensor_functions, g, *saved),)

    def operation(x: Operand) -> Tensor:
        x = as_tensor(x)
        if of_floats and x.data.dtype is not FLOAT and x.data.dtype.kind != "f":
            x = wrap(x.data.astype(FLOAT))
        try:
            y = forward(get_xp(x.data), x.data)
        except TypeError:
            raise TypeError(
                f"{name}: there is none of a tensor of {x.dtype}; make it one of numbers first, as"
                " with x.float()"
            ) from None
        saved = (x,) if keep == "x" else (y,) if keep else ()
        return record(name, y, (x,), backward, saved, None, bool(keep), differentiable)

    return _described(operation, title)


def binary(
    title: str,
    forward: Callable[..., Array],
    vjp_a: Callable[..., Array],
    vjp_b: Callable[..., Array],
    keep: tuple[str, str] = ("", ""),
) -> Callable[[Operand, Operand], Tensor]:
    """Make a broadcasting operation of two: ``forward(xp, a, b)``.

    Both VJPs are called as ``vjp(xp, g, a, b, y)``. `keep` names what each of them needs, by
    letters: "ay" for a and the result. The others are None, and what only the other VJP needs is
    not kept where its gradient is not wanted. One that needs something returns a new array.
    """
    name = title.partition(":")[0]

    def rule(xp_of: Callable[..., Any]) -> Backward:
        def backward(
            g: Any, needs: Sequence[bool], a: Any, b: Any, y: Any, shapes: Any
        ) -> tuple[Any, Any]:
            xp = xp_of(g)
            da = unbroadcast(vjp_a(xp, g, a, b, y), shapes[0]) if needs[0] else None
            db = unbroadcast(vjp_b(xp, g, a, b, y), shapes[1]) if needs[1] else None
            return da, db

        return backward

    backward, differentiable = rule(get_xp), rule(lambda g: tensor_functions)

    def operation(a: Operand, b: Operand) -> Tensor:
        first, second, x, y = operands(name, a, b)
        try:
            z = forward(get_xp(x, y), x, y)
        except (OverflowError, TypeError, ValueError) as error:
            explain(name, x, y, error)
        kept = keep[0] if first is not None and first._requires_grad else ""
        kept += keep[1] if second is not None and second._requires_grad else ""
        saved = (
            held(first, x) if "a" in kept else None,
            held(second, y) if "b" in kept else None,
            z if "y" in kept else None,
            (getattr(x, "shape", ()), getattr(y, "shape", ())),
        )
        options = numbers_among(x, y)
        return record(name, z, (first, second), backward, saved, options, all(keep), differentiable)

    return _described(operation, title)


def held(tensor: Tensor | None, value: Any) -> Any:
    """Return what backward is given of an operand: a tensor, whose changes the tape notices.

    An array that is no tensor's is copied: the program may change it unnoticed.
    """
    if tensor is not None:
        return tensor
    return value.copy() if is_grad_enabled() and hasattr(value, "copy") else value


_NUMBERS = (float, int)  # and bool, which Python counts among the integers


def _described(operation: Any, title: str) -> Any:
    """Give an operation its name and its docstring: `title` is "name: what it returns"."""
    operation.__name__ = operation.__qualname__ = title.partition(":")[0]
    operation.__doc__ = f"Return{title.partition(':')[2]}, elementwise."
    return device_guard(operation)


def operands(name: str, a: Any, b: Any) -> tuple[Tensor | None, Tensor | None, Any, Any]:
    """Return both operands as Tensors, and as arrays or numbers by the type rules of `Tensor`.

    None stands for one that is no Tensor, or had to be converted, which only integers are: beside
    an array of floats to its type, beside a Python float to the default float.
    """
    first, x = (a, a.data) if isinstance(a, Tensor) else (None, _constant(name, a))
    second, y = (b, b.data) if isinstance(b, Tensor) else (None, _constant(name, b))
    if isinstance(x, _NUMBERS):
        if isinstance(y, _NUMBERS):
            x = Tensor(x).data
        elif y.dtype is not FLOAT and isinstance(x, float) and y.dtype.kind in "iub":
            second, y = None, y.astype(FLOAT)
    elif isinstance(y, _NUMBERS):
        if x.dtype is not FLOAT and isinstance(y, float) and x.dtype.kind in "iub":
            first, x = None, x.astype(FLOAT)
    elif x.dtype is not y.dtype:
        if x.dtype.kind == "f" and y.dtype.kind in "iub":
            second, y = None, y.astype(x.dtype)
        elif y.dtype.kind == "f" and x.dtype.kind in "iub":
            first, x = None, x.astype(y.dtype)
    return first, second, x, y


def numbers_among(a: Any, b: Any) -> dict[str, float]:
    """Return the operand that is a number, if one is, by its name: an option of the node."""
    return {"a": a} if isinstance(a, _NUMBERS) else {"b": b} if isinstance(b, _NUMBERS) else {}


def _constant(name: str, value: Any) -> Any:
    """Return an operand that is no Tensor as a Python number, which takes any type, or an array."""
    if isinstance(value, np.generic) and value.dtype.kind in "fiub":
        return value.item()
    if isinstance(value, _NUMBERS):
        return value
    if hasattr(value, "__array_function__"):
        if value.dtype.kind not in "fiub":
            raise TypeError(
                f"{name}: cannot combine a Tensor with an array of dtype {value.dtype}; it must be"
                " one of floats, integers or booleans"
            )
        return to_default_device(value)
    if isinstance(value, (list, tuple)):
        return Tensor(value).data
    raise TypeError(
        f"{name}: cannot combine a Tensor with {type(value).__name__}; it must be a Tensor, an "
        "array or a number"
    )


def explain(name: str, x: Any, y: Any, error: Exception) -> NoReturn:
    """Raise an error with the reason why `x` and `y` could not be combined."""
    check_one_device(name, x, y)
    try:
        np.broadcast_shapes(np.shape(x), np.shape(y))
    except ValueError:
        raise ValueError(
            f"{name}: shapes {x.shape} and {y.shape} do not broadcast; counted from the last, axes "
            "must have equal lengths or one of them length 1"
        ) from None
    kinds = " and ".join(str(getattr(each, "dtype", type(each).__name__)) for each in (x, y))
    if isinstance(error, OverflowError):
        number, array = (x, y) if isinstance(x, int) else (y, x)
        raise ValueError(
            f"{name}: {number} does not fit among numbers of {array.dtype}; make the tensor one of"
            " a wider type first, as with x.long() or x.float()"
        ) from None
    if name == "pow" and isinstance(error, ValueError):
        raise ValueError(
            f"pow: a negative power of integers ({kinds}) is no integer; make floats of them first,"
            " as with x.float()"
        ) from None
    if isinstance(error, TypeError) and "bool" in kinds:
        raise TypeError(
            f"{name}: there is none of {kinds}; make numbers of them first, as with x.float()"
        ) from None
    kind = TypeError if isinstance(error, TypeError) else ValueError
    raise kind(f"{name}: {error}") from None


def check_one_device(name: str, *operands: Any) -> None:
    """Raise ValueError if two of the arrays among `operands` are on different devices."""
    devices = [device_of(each) for each in operands if hasattr(each, "shape")]
    for device in devices[1:]:
        if device != devices[0]:
            raise ValueError(
                f"{name}: one argument is on {devices[0]} and the other on {device}; move one of "
                "them with .to(device)"
            ) from None
