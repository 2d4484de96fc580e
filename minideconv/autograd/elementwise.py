"""Elementary maths on tensors: one table, each derivative beside its function.

A row of the table gives an operation's name, its forward on plain arrays, and for each argument a
VJP (vector-Jacobian product): the gradient ``g`` of the result, turned into the gradient of that
argument. ``keep`` names what each VJP needs, by letters: ``x`` (or ``a``, ``b``) for an argument,
``y`` for the result; only that, and only where a gradient is wanted, is kept until backward. How a
row becomes an operation, and how broadcasting is undone, is in `broadcasting`.

The form follows HIPS autograd (D. Maclaurin, Modeling, Inference and Optimization with Composable
Differentiable Programming, 2016, chapter 4); the formulas are those of any calculus book.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minideconv.autograd import broadcasting
from minideconv.autograd.broadcasting import (
    as_tensor,
    binary,
    constant,
    operands,
    passed,
    unary,
    unbroadcast,
)
from minideconv.autograd.methods import FLOAT, Operand
from minideconv.autograd.record import record
from minideconv.autograd.tensor import Tensor, wrap
from minideconv.backend import get_xp
from minideconv.backend.dispatch import device_guard

__all__ = [
    "abs", "add", "clip", "cos", "div", "exp", "floordiv", "log", "maximum", "minimum", "mod",
    "mul", "neg", "pow", "round", "sigmoid", "sin", "sqrt", "sub", "tanh", "where",
]  # fmt: skip

# ---- the table -----------------------------------------------------------------------------------
# name and meaning, forward, VJP for each argument, what each VJP needs besides g

add = binary("add: a + b", lambda xp, a, b: a + b, lambda xp, g, *_: g, lambda xp, g, *_: g)
sub = binary("sub: a - b", lambda xp, a, b: a - b, lambda xp, g, *_: g, lambda xp, g, *_: -g)
mul = binary(
    "mul: a * b",
    lambda xp, a, b: a * b,
    lambda xp, g, a, b, y: g * b,
    lambda xp, g, a, b, y: g * a,
    keep=("b", "a"),
)
div = binary(
    "div: a / b",
    lambda xp, a, b: _quotient(a, b),
    lambda xp, g, a, b, y: g / b,
    lambda xp, g, a, b, y: -g * y / b,
    keep=("b", "by"),
)
floordiv = binary(
    "floordiv: a / b rounded down (its slope is 0)",
    lambda xp, a, b: _whole("floordiv", xp, a, b),
    lambda xp, g, a, b, y: xp.zeros_like(g),
    lambda xp, g, a, b, y: xp.zeros_like(g),
    keep=("y", "y"),
)
mod = binary(
    "mod: a - b * floor(a / b), which has the sign of b",
    lambda xp, a, b: _whole("mod", xp, a, b),
    lambda xp, g, *_: g,
    lambda xp, g, a, b, y: -g * (a // b),
    keep=("", "ab"),
)
pow = binary(
    "pow: a to the power b",
    lambda xp, a, b: _power(xp, a, b),
    lambda xp, g, a, b, y: g * _power_slope(xp, a, b),
    lambda xp, g, a, b, y: g * _power_growth(xp, a, y),
    keep=("ab", "ay"),
)
maximum = binary(
    "maximum: the larger of a and b (the gradient of a tie goes to a)",
    lambda xp, a, b: xp.maximum(a, b),
    lambda xp, g, a, b, y: passed(g, a >= b),
    lambda xp, g, a, b, y: passed(g, xp.logical_not(a >= b)),
    keep=("ab", "ab"),
)
minimum = binary(
    "minimum: the smaller of a and b (the gradient of a tie goes to a)",
    lambda xp, a, b: xp.minimum(a, b),
    lambda xp, g, a, b, y: passed(g, a <= b),
    lambda xp, g, a, b, y: passed(g, xp.logical_not(a <= b)),
    keep=("ab", "ab"),
)
neg = unary("neg: -x", lambda xp, x: -x, lambda xp, g: -g)
exp = unary("exp: e to the power x", lambda xp, x: xp.exp(x), lambda xp, g, y: g * y, "y", True)
log = unary(
    "log: the natural logarithm of x", lambda xp, x: xp.log(x), lambda xp, g, x: g / x, "x", True
)
sqrt = unary(
    "sqrt: the square root of x", lambda xp, x: xp.sqrt(x), lambda xp, g, y: g / (2 * y), "y", True
)
sin = unary(
    "sin: the sine of x", lambda xp, x: xp.sin(x), lambda xp, g, x: g * xp.cos(x), "x", True
)
cos = unary(
    "cos: the cosine of x", lambda xp, x: xp.cos(x), lambda xp, g, x: -g * xp.sin(x), "x", True
)
abs = unary(
    "abs: the absolute value of x (its slope at 0 is taken as 0)",
    lambda xp, x: xp.abs(x),
    lambda xp, g, x: g * xp.sign(x),
    keep="x",
)
round = unary(
    "round: x to the nearest integer, halves to the even one (its slope is 0)",
    lambda xp, x: xp.rint(x) if x.dtype.kind == "f" else x,
    lambda xp, g, y: xp.zeros_like(g),
    keep="y",
)
tanh = unary(
    "tanh: the hyperbolic tangent of x",
    lambda xp, x: xp.tanh(x),
    # Far out the slope is 0, also at 2e4; 2 x itself may overflow.
    lambda xp, g, x: g * (4 * _logistic_slope(xp, 2 * xp.clip(x, -1e4, 1e4))),
    keep="x",
    of_floats=True,
)
sigmoid = unary(
    "sigmoid: 1 / (1 + exp(-x)), written so that nothing overflows and nothing cancels",
    lambda xp, x: _logistic(xp, x),
    lambda xp, g, x: g * _logistic_slope(xp, x),
    keep="x",
    of_floats=True,
)


def _logistic(xp: Any, x: Any) -> Any:
    """Return 1 / (1 + e^-x), or e^x / (1 + e^x) where x < 0: to a few units in the last place."""
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, xp.ones_like(e), e) / (1 + e)


def _logistic_slope(xp: Any, x: Any) -> Any:
    """Return the derivative of the logistic function: y (1 - y), where 1 - y would lose its digits.

    It is e / (1 + e)^2 with e = e^-|x|, since the function is symmetric. That of tanh(x) =
    2 logistic(2 x) - 1, also written 1 - y^2, is four times as large, at 2 x.
    """
    if xp is broadcasting.tensor_functions:  # to be differentiated, and |x| has a kink at 0
        return sigmoid(x) * sigmoid(-x)
    e = xp.exp(-xp.abs(x))
    return e / ((1 + e) * (1 + e))


def _quotient(a: Any, b: Any) -> Any:
    """Return a / b, that of two integers in the default float."""
    y = a / b
    if y.dtype is not FLOAT and "f" not in (_kind(a), _kind(b)):
        return y.astype(FLOAT)
    return y


def _whole(name: str, xp: Any, a: Any, b: Any) -> Any:
    """Return a // b or a % b; of integers by 0, which NumPy says is 0, there is none."""
    if _kind(b) != "f" and _kind(a) != "f" and bool(xp.any(xp.asarray(b) == 0)):
        raise ZeroDivisionError(
            f"{name}: integers cannot be divided by 0; use floats, as x.float()"
        )
    return a // b if name == "floordiv" else a % b


def _kind(a: Any) -> str:
    return "f" if isinstance(a, float) else "i" if isinstance(a, int) else a.dtype.kind


def _power(xp: Any, a: Any, b: Any) -> Any:
    """Return a**b; CuPy takes negative powers of integers, which NumPy refuses."""
    if xp is not np and "f" not in (_kind(a), _kind(b)) and bool(xp.any(xp.asarray(b) < 0)):
        unsigned = isinstance(b, int) and a.dtype.kind == "u"
        raise (OverflowError if unsigned else ValueError)("integers to negative integer powers")
    return a**b


def _power_slope(xp: Any, a: Any, b: Any) -> Any:
    """Return d(a**b)/da = b a**(b-1), which is 0 where b is 0: also at a = 0, infinity and NaN."""
    if isinstance(b, (int, float)):
        return b * a ** (b - 1) if b != 0 else xp.zeros_like(a)
    flat = b == 0
    if xp is broadcasting.tensor_functions:  # the slope of this by b is 1/a, where that is a number
        flat = flat & xp.logical_not(xp.isfinite(a) & (a != 0))
    return xp.where(flat, xp.zeros_like(b), b * a ** xp.where(flat, xp.ones_like(b), b - 1))


def _power_growth(xp: Any, a: Any, y: Any) -> Any:
    """Return d(a**b)/db = y log(a), y = a**b.

    At a = 0 it is 0 for b >= 0, where y is 0 behind b = 0, and -infinity for b < 0, where y is
    infinite.
    """
    if isinstance(a, (int, float)):
        if a == 0:
            return xp.where(y == math.inf, -y, xp.zeros_like(y))
        return y * (math.log(a) if a > 0 else math.nan)
    at_zero = a == 0
    growth = y * xp.log(xp.where(at_zero, xp.ones_like(a), a))
    return xp.where(at_zero, xp.where(y == math.inf, -y, xp.zeros_like(y)), growth)


# ---- choosing ------------------------------------------------------------------------------------


_larger, _smaller = maximum, minimum


@device_guard
def clip(
    x: Operand,
    minimum: Operand | None = None,
    maximum: Operand | None = None,
    *,
    min: Operand | None = None,
    max: Operand | None = None,
) -> Tensor:
    """Return `x` limited to [minimum, maximum]; the gradient is 0 outside and passes at the limits.

    Parameters
    ----------
    x : Tensor
    minimum, maximum : number, array, Tensor or None
        None means no limit on that side. Limits that are arrays or tensors broadcast, and a tensor
        receives the gradient where it is the limit.
    min, max
        PyTorch's names for the same.
    """
    x = as_tensor(x)
    minimum, maximum = minimum if min is None else min, maximum if max is None else max
    limits = [limit for limit in (minimum, maximum) if limit is not None]
    if not limits:
        raise ValueError("clip: minimum and maximum are both None; give at least one")
    if not all(isinstance(limit, (int, float)) for limit in limits):
        y = x if minimum is None else _larger(x, minimum)
        return y if maximum is None else _smaller(y, maximum)
    if x.dtype.kind != "f" and any(isinstance(limit, float) for limit in limits):
        x = wrap(x.data.astype(FLOAT))
    low = -math.inf if minimum is None else float(minimum)
    high = math.inf if maximum is None else float(maximum)
    if not low <= high:
        raise ValueError(f"clip: minimum {minimum} must not exceed maximum {maximum}")

    def backward(g: Any, needs: Any, x: Any) -> Any:
        return (passed(g, (x >= low) & (x <= high)),)

    y = get_xp(x.data).clip(x.data, minimum, maximum)
    options = {"minimum": minimum, "maximum": maximum}
    return record("clip", y, (x,), backward, (x,), options, True, differentiable=backward)


@device_guard
def where(condition: Any, a: Operand, b: Operand) -> Tensor:
    """Return `a` where `condition` is true and `b` elsewhere; all three broadcast.

    Parameters
    ----------
    condition : bool array or Tensor
        Not differentiated. One of uint8 counts as bool, as in PyTorch: true where it is not 0.
    a, b : Tensor, array or number
    """
    first, second, x, y = operands("where", a, b)
    xp, numbers = get_xp(x, y), broadcasting.numbers_among(x, y)
    # A number among them takes the type of the other; `where` alone would decide by its value.
    kind = xp.result_type(x, y)
    x, y = xp.asarray(x, dtype=kind), xp.asarray(y, dtype=kind)
    given = constant(condition)
    if given.dtype.kind != "b":
        if given.dtype != np.uint8:
            raise TypeError(
                f"where: condition has dtype {given.dtype}; it must be bool, as condition != 0 is"
            )
        given = wrap(given.data != 0)
    chosen = given.data
    broadcasting.check_one_device("where", chosen, x, y)
    try:
        z = xp.where(chosen, x, y)
    except ValueError:
        raise ValueError(
            f"where: shapes {np.shape(chosen)} (condition), {x.shape} and {y.shape} do not "
            "broadcast"
        ) from None

    shapes = (x.shape, y.shape)

    def backward(g: Any, needs: Any, chosen: Any) -> Any:
        chosen = chosen.data if isinstance(chosen, Tensor) else chosen
        da = unbroadcast(passed(g, chosen), shapes[0]) if needs[0] else None
        other = get_xp(chosen).logical_not(chosen)
        db = unbroadcast(passed(g, other), shapes[1]) if needs[1] else None
        return da, db

    options = {"condition": chosen, **numbers}
    inputs = (first, second)
    return record("where", z, inputs, backward, (given,), options, True, differentiable=backward)


# ---- what the VJPs of the table use, on Tensors --------------------------------------------------


def _constant(name: str) -> Any:
    """Return NumPy's function `name`, of what has no slope: signs, truth values, ones."""
    return lambda x: getattr(get_xp(as_tensor(x).data), name)(as_tensor(x).data)


vars(broadcasting.tensor_functions).update(
    abs=abs, clip=clip, cos=cos, exp=exp, log=log, sin=sin, where=where,
    isfinite=_constant("isfinite"), logical_not=_constant("logical_not"),
    ones_like=_constant("ones_like"), sign=_constant("sign"), zeros_like=_constant("zeros_like"),
)  # fmt: skip
