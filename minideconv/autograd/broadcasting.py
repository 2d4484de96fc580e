"""How a row of the table in `elementwise` becomes an operation on tensors.

`unary` and `binary` take plain functions of arrays, see to types, scalars, broadcasting and error
sentences, and put the result on the tape. What a VJP (see `elementwise`) does not ask for is not
kept: the plan for each combination of wanted gradients is made once, when the table is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NoReturn

import numpy as np

from minideconv.autograd.methods import Operand
from minideconv.autograd.record import record
from minideconv.autograd.tensor import Tensor
from minideconv.backend import Array, device_of, get_xp, to_default_device
from minideconv.backend.device_guard import device_guard

__all__ = [
    "as_tensor",
    "binary",
    "check_one_device",
    "explain",
    "operands",
    "reflected",
    "unary",
    "unbroadcast",
]


def as_tensor(value: Any) -> Tensor:
    """Return `value` if it is a Tensor, else a constant Tensor of it."""
    return value if isinstance(value, Tensor) else Tensor(value)


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """Sum `g` down to `shape`: the adjoint of broadcasting an array of `shape` to ``g.shape``.

    Broadcasting copies a value to several places, so its gradient is the sum over these places.
    """
    if g.shape == shape:
        return g
    extra = g.ndim - len(shape)
    stretched = [extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1]
    return g.sum(axis=(*range(extra), *stretched)).reshape(shape)


def unary(
    name: str, meaning: str, forward: Callable[..., Array], vjp: Callable[..., Array]
) -> Callable[[Operand], Tensor]:
    """Make an operation of one argument: ``forward(xp, x)``, ``vjp(xp, g, [x], [y])``."""
    kept = [("x", "y").index(wanted) for wanted in _asks(vjp)]

    def backward(g: Array, needs: Sequence[bool], *saved: Array) -> tuple[Array]:
        return (vjp(get_xp(g), g, *saved),)

    def operation(x: Operand) -> Tensor:
        x = as_tensor(x)
        y = forward(get_xp(x.data), x.data)
        both = (x, y)
        return record(name, y, (x,), backward, [both[i] for i in kept])

    _describe(operation, name, meaning)
    return device_guard(operation)


def binary(
    name: str,
    meaning: str,
    forward: Callable[..., Array],
    vjp_a: Callable[..., Array],
    vjp_b: Callable[..., Array],
) -> Callable[[Operand, Operand], Tensor]:
    """Make a broadcasting operation of two: ``forward(xp, a, b)``, ``vjp(xp, g, [a, b, y])``."""
    vjps = (vjp_a, vjp_b)
    plans = {needs: _binary_plan(vjps, needs) for needs in product((False, True), repeat=2)}

    def operation(a: Operand, b: Operand) -> Tensor:
        first, second, x, y = operands(name, a, b)
        try:
            z = forward(get_xp(x, y), x, y)
        except (TypeError, ValueError) as error:
            explain(name, x, y, error)
        chosen, backward = plans[
            first is not None and first._requires_grad, second is not None and second._requires_grad
        ]
        keep_a = x if first is None else first
        keep_b = y if second is None else second
        values = (keep_a, keep_b, z, _shape(x), _shape(y))
        return record(name, z, (first, second), backward, [values[i] for i in chosen])

    _describe(operation, name, meaning)
    return device_guard(operation)


def _binary_plan(
    vjps: tuple[Callable[..., Array], ...], needs: tuple[bool, ...]
) -> tuple[list[int], Callable[..., tuple[Array | None, ...]]]:
    """Say what to keep when `needs` gradients are wanted, and how to go back with it."""
    asked = [[("a", "b", "y").index(n) for n in _asks(v)] for v in vjps]
    chosen = sorted({i for want, need in zip(asked, needs, strict=True) if need for i in want})
    places = [
        [chosen.index(i) for i in want] if need else []
        for want, need in zip(asked, needs, strict=True)
    ]

    def backward(g: Array, _: Sequence[bool], *saved: Any) -> tuple[Array | None, ...]:
        xp, shapes = get_xp(g), saved[-2:]
        return tuple(
            [
                unbroadcast(vjps[i](xp, g, *[saved[p] for p in places[i]]), shapes[i])
                if needs[i]
                else None
                for i in (0, 1)
            ]
        )

    return [*chosen, 3, 4], backward


def _asks(vjp: Callable[..., Array]) -> tuple[str, ...]:
    """Return the names of a VJP's parameters after ``xp, g``."""
    code = vjp.__code__
    return code.co_varnames[2 : code.co_argcount]


_NUMBERS = (float, int)  # and bool, which Python counts among the integers


def _describe(operation: Any, name: str, meaning: str) -> None:
    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"Return {meaning}, elementwise."


def operands(name: str, a: Any, b: Any) -> tuple[Tensor | None, Tensor | None, Any, Any]:
    """Return both operands as Tensors, and as arrays or numbers by the type rules of `Tensor`.

    None stands for one that is no Tensor, or had to be converted, which only integers are.
    """
    first, x = (a, a.data) if isinstance(a, Tensor) else (None, _constant(name, a))
    second, y = (b, b.data) if isinstance(b, Tensor) else (None, _constant(name, b))
    if isinstance(x, _NUMBERS):
        if isinstance(y, _NUMBERS):
            x = Tensor(x).data
    elif not isinstance(y, _NUMBERS) and x.dtype is not y.dtype:
        if x.dtype.kind == "f" and y.dtype.kind in "iub":
            second, y = None, y.astype(x.dtype)
        elif y.dtype.kind == "f" and x.dtype.kind in "iub":
            first, x = None, x.astype(y.dtype)
    return first, second, x, y


def _shape(operand: Any) -> tuple[int, ...]:
    return () if isinstance(operand, _NUMBERS) else operand.shape


def _constant(name: str, value: Any) -> Any:
    """Return an operand that is no Tensor as a Python number, which takes any type, or an array."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, _NUMBERS):
        return value
    if hasattr(value, "__array_function__"):
        return to_default_device(value)
    if isinstance(value, (list, tuple)):
        return Tensor(value).data
    raise TypeError(
        f"{name}: cannot combine a Tensor with {type(value).__name__}; it must be a Tensor, an "
        "array or a number"
    )


def explain(name: str, x: Any, y: Any, error: Exception) -> NoReturn:
    """Raise the sentence that says why `x` and `y` could not be combined."""
    check_one_device(name, x, y)
    try:
        np.broadcast_shapes(np.shape(x), np.shape(y))
    except ValueError:
        raise ValueError(
            f"{name}: shapes {x.shape} and {y.shape} do not broadcast; counted from the last, axes "
            "must have equal lengths or one of them length 1"
        ) from None
    kind = TypeError if isinstance(error, TypeError) else ValueError
    raise kind(f"{name}: {error}") from None


def check_one_device(name: str, x: Any, y: Any) -> None:
    """Raise the sentence for two arrays on different devices."""
    if hasattr(x, "shape") and hasattr(y, "shape") and device_of(x) != device_of(y):
        raise ValueError(
            f"{name}: one argument is on {device_of(x)} and the other on {device_of(y)}; move one "
            "of them with .to(device)"
        ) from None


def reflected(operation: Callable[[Any, Any], Tensor]) -> Any:
    """Return `operation` with its operands exchanged, for ``2 - x`` and the like."""
    return lambda a, b: operation(b, a)
