"""Elementary maths on tensors: one table, each derivative beside its function.

A row of the table gives an operation's name, its forward on plain arrays, and for each argument a
VJP (vector-Jacobian product): the gradient ``g`` of the result, turned into the gradient of that
argument. A VJP asks for what it needs by the names of its parameters, ``x`` (or ``a``, ``b``) for
an argument and ``y`` for the result; only what is asked for, and only where a gradient is wanted,
is kept until backward. Broadcasting is undone in one place, `unbroadcast`, so no row thinks of it.

The form follows HIPS autograd (D. Maclaurin, Modeling, Inference and Optimization with Composable
Differentiable Programming, 2016, chapter 4); the formulas are those of any calculus book.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NoReturn

import numpy as np

from minideconv.backend import Array, device_of, get_xp
from minideconv.record import record
from minideconv.tensor import Tensor
from minideconv.tensor_methods import Operand

__all__ = [
    "abs",
    "add",
    "as_tensor",
    "check_one_device",
    "clip",
    "div",
    "exp",
    "kept",
    "log",
    "maximum",
    "minimum",
    "mul",
    "neg",
    "operands",
    "pow",
    "reflected",
    "sigmoid",
    "sqrt",
    "sub",
    "tanh",
    "unbroadcast",
    "where",
]

# ---- the combinators that make an operation of a row ---------------------------------------------


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
    return g.sum(axis=(*range(extra), *stretched)).reshape(shape)  # type: ignore[no-any-return]


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
    return operation


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
            _explain(name, x, y, error)
        chosen, backward = plans[
            first is not None and first._requires_grad, second is not None and second._requires_grad
        ]
        values = (kept(first, x), kept(second, y), z, _shape(x), _shape(y))
        return record(name, z, (first, second), backward, [values[i] for i in chosen])

    _describe(operation, name, meaning)
    return operation


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
    """Return both operands as Tensor or None, and as arrays or numbers by `Tensor`'s type rules."""
    first, x = (a, a.data) if isinstance(a, Tensor) else (None, _constant(name, a))
    second, y = (b, b.data) if isinstance(b, Tensor) else (None, _constant(name, b))
    if isinstance(x, _NUMBERS):
        if isinstance(y, _NUMBERS):
            x = Tensor(x).data
    elif not isinstance(y, _NUMBERS) and x.dtype is not y.dtype:
        if x.dtype.kind == "f" and y.dtype.kind in "iub":
            y = y.astype(x.dtype)
        elif y.dtype.kind == "f" and x.dtype.kind in "iub":
            x = x.astype(y.dtype)
    return first, second, x, y


def _shape(operand: Any) -> tuple[int, ...]:
    return () if isinstance(operand, _NUMBERS) else operand.shape


def kept(tensor: Tensor | None, data: Any) -> Any:
    """Return what to save of an operand: the tensor, where it is one, so that changes are seen."""
    return tensor if tensor is not None and tensor.data is data else data


def _constant(name: str, value: Any) -> Any:
    """Return an operand that is no Tensor as a Python number, which takes any type, or an array."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, _NUMBERS) or hasattr(value, "__array_function__"):
        return value
    if isinstance(value, (list, tuple)):
        return Tensor(value).data
    raise TypeError(
        f"{name}: cannot combine a Tensor with {type(value).__name__}; it must be a Tensor, an "
        "array or a number"
    )


def _explain(name: str, x: Any, y: Any, error: Exception) -> NoReturn:
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


# ---- the table -----------------------------------------------------------------------------------

add = binary(
    "add",
    "a + b",
    lambda xp, a, b: a + b,
    lambda xp, g: g,
    lambda xp, g: g,
)
sub = binary(
    "sub",
    "a - b",
    lambda xp, a, b: a - b,
    lambda xp, g: g,
    lambda xp, g: -g,
)
mul = binary(
    "mul",
    "a * b",
    lambda xp, a, b: a * b,
    lambda xp, g, b: g * b,
    lambda xp, g, a: g * a,
)
div = binary(
    "div",
    "a / b",
    lambda xp, a, b: a / b,
    lambda xp, g, b: g / b,
    lambda xp, g, b, y: -g * y / b,
)
pow = binary(
    "pow",
    "a to the power b",
    lambda xp, a, b: a**b,
    lambda xp, g, a, b: g * _power_slope(xp, a, b),
    lambda xp, g, a, y: g * y * _log_base(xp, a),
)
maximum = binary(
    "maximum",
    "the larger of a and b (the gradient of a tie goes to a)",
    lambda xp, a, b: xp.maximum(a, b),
    lambda xp, g, a, b: g * (a >= b),
    lambda xp, g, a, b: g * xp.logical_not(a >= b),
)
minimum = binary(
    "minimum",
    "the smaller of a and b (the gradient of a tie goes to a)",
    lambda xp, a, b: xp.minimum(a, b),
    lambda xp, g, a, b: g * (a <= b),
    lambda xp, g, a, b: g * xp.logical_not(a <= b),
)
neg = unary(
    "neg",
    "-x",
    lambda xp, x: -x,
    lambda xp, g: -g,
)
exp = unary(
    "exp",
    "e to the power x",
    lambda xp, x: xp.exp(x),
    lambda xp, g, y: g * y,
)
log = unary(
    "log",
    "the natural logarithm of x",
    lambda xp, x: xp.log(x),
    lambda xp, g, x: g / x,
)
sqrt = unary(
    "sqrt",
    "the square root of x",
    lambda xp, x: xp.sqrt(x),
    lambda xp, g, y: g / (2 * y),
)
abs = unary(
    "abs",
    "the absolute value of x (its slope at 0 is taken as 0)",
    lambda xp, x: xp.abs(x),
    lambda xp, g, x: g * xp.sign(x),
)
tanh = unary(
    "tanh",
    "the hyperbolic tangent of x",
    lambda xp, x: xp.tanh(x),
    lambda xp, g, y: g * (1 - y * y),
)
sigmoid = unary(
    "sigmoid",
    "1 / (1 + exp(-x)), written with tanh so that nothing overflows",
    lambda xp, x: xp.tanh(x * 0.5) * 0.5 + 0.5,
    lambda xp, g, y: g * (y * (1 - y)),
)


def _power_slope(xp: Any, a: Any, b: Any) -> Any:
    """Return d(a**b)/da = b a**(b-1), which is 0 where b is 0, also at a = 0."""
    if isinstance(b, (int, float)):
        return b * a ** (b - 1) if b != 0 else a * 0
    return b * a ** xp.where(b == 0, xp.ones_like(b), b - 1)


def _log_base(xp: Any, a: Any) -> Any:
    """Return log(a) for d(a**b)/db = a**b log(a); 0 at a = 0, where a**b stays 0 for all b > 0."""
    if isinstance(a, (int, float)):
        return math.log(a) if a > 0 else 0.0 if a == 0 else math.nan
    return xp.log(xp.where(a == 0, xp.ones_like(a), a))


# ---- choosing ------------------------------------------------------------------------------------


def clip(x: Operand, minimum: float | None = None, maximum: float | None = None) -> Tensor:
    """Return `x` limited to [minimum, maximum]; the gradient is 0 outside and passes at the limits.

    Parameters
    ----------
    x : Tensor
    minimum, maximum : number or None
        None means no limit on that side.
    """
    x = as_tensor(x)
    if minimum is None and maximum is None:
        raise ValueError("clip: minimum and maximum are both None; give at least one")
    low = -math.inf if minimum is None else float(minimum)
    high = math.inf if maximum is None else float(maximum)
    if not low <= high:
        raise ValueError(f"clip: minimum {minimum} must not exceed maximum {maximum}")

    def backward(g: Array, needs: Sequence[bool], x: Array) -> tuple[Array]:
        return (g * ((x >= low) & (x <= high)),)

    y = get_xp(x.data).clip(x.data, minimum, maximum)
    return record("clip", y, (x,), backward, saved=(x,))


def where(condition: Any, a: Operand, b: Operand) -> Tensor:
    """Return `a` where `condition` is true and `b` elsewhere; all three broadcast.

    Parameters
    ----------
    condition : bool array or Tensor
        Not differentiated.
    a, b : Tensor, array or number
    """
    first, second, x, y = operands("where", a, b)
    xp = get_xp(x, y)
    # A number among them takes the type of the other; `where` alone would decide by its value.
    kind = xp.result_type(x, y)
    x, y = xp.asarray(x, dtype=kind), xp.asarray(y, dtype=kind)
    chosen = condition.data if isinstance(condition, Tensor) else condition
    check_one_device("where", chosen, x)
    try:
        z = xp.where(xp.asarray(chosen), x, y)
    except (TypeError, ValueError):
        check_one_device("where", x, y)
        raise ValueError(
            f"where: shapes {np.shape(chosen)} (condition), {x.shape} and {y.shape} do not "
            "broadcast"
        ) from None

    def backward(g: Array, needs: Sequence[bool], chosen: Array, *shapes: Any) -> Any:
        picks = (chosen, get_xp(g).logical_not(chosen))
        return tuple(
            unbroadcast(g * pick, shape) if need else None
            for pick, shape, need in zip(picks, shapes, needs, strict=True)
        )

    return record("where", z, (first, second), backward, saved=(chosen, x.shape, y.shape))


# ---- what becomes a method or an operator of Tensor ----------------------------------------------


def _comparison(name: str, compare: Callable[[Any, Any], Any]) -> Any:
    """Make ``<`` and the like: plain bool arrays, since a truth value has no gradient."""

    def operation(a: Tensor, b: Any) -> Any:
        if not isinstance(b, (Tensor, bool, int, float, np.generic, list, tuple)) and not hasattr(
            b, "__array_function__"
        ):
            return NotImplemented  # so that `tensor == None` is False
        _, _, x, y = operands(name, a, b)
        try:
            return get_xp(x).asarray(compare(x, y))
        except (TypeError, ValueError) as error:
            _explain(name, x, y, error)

    operation.__name__ = operation.__qualname__ = name
    return operation


def reflected(operation: Callable[[Any, Any], Tensor]) -> Any:
    """Return `operation` with its operands exchanged, for ``2 - x`` and the like."""
    return lambda a, b: operation(b, a)


_METHODS: dict[str, Any] = {
    "__add__": add,
    "__radd__": reflected(add),
    "__sub__": sub,
    "__rsub__": reflected(sub),
    "__mul__": mul,
    "__rmul__": reflected(mul),
    "__truediv__": div,
    "__rtruediv__": reflected(div),
    "__pow__": pow,
    "__rpow__": reflected(pow),
    "__neg__": neg,
    "__abs__": abs,
    "__lt__": _comparison("<", operator.lt),
    "__le__": _comparison("<=", operator.le),
    "__gt__": _comparison(">", operator.gt),
    "__ge__": _comparison(">=", operator.ge),
    "__eq__": _comparison("==", operator.eq),
    "__ne__": _comparison("!=", operator.ne),
}
for _operation in (abs, clip, exp, log, sigmoid, sqrt, tanh):
    _METHODS[_operation.__name__] = _operation
for _name, _operation in _METHODS.items():
    setattr(Tensor, _name, _operation)
