"""Wrong classes ``Tensor``: what can be wrong in the same way with the rule of each operation."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.testing.mistakes.tensor import Grads, Right
from minideconv.testing.mistakes.tensor_styles import Zeros
from minideconv.testing.mistakes.wrong_tensors import SIGNS, another_way, derived, wrong_tensor

__all__: list[str] = []  # they are reached through the bank

BINARY = ("add", "sub", "mul", "div", "matmul")
OTHERS = ("neg", "pow", "relu", "exp", "log", "sum", "mean", "reshape", "transpose")


def _no_chain(op: str) -> None:
    sign = SIGNS.get(op, op)

    @wrong_tensor(
        f"incoming gradient left out of {sign}",
        f"The rule of {sign} returns its slope alone; the chain rule multiplies it by dy.",
    )
    class _NoChain(Right):
        ops = (op,)

        def rule(self, g: Any) -> Grads:
            return super().rule(np.ones(self.data.shape) if self.op == op else g)


for _op in ("add", "sub", "div", "matmul", "neg", "pow", "exp", "log", "sum", "mean"):
    _no_chain(_op)


def _not_connected(op: str) -> None:
    sign = SIGNS.get(op, op)
    name = f"result of {sign} without its operands"

    @wrong_tensor(
        name,
        f"The result of {sign} does not know what it was made of: no gradient goes back through "
        "it. It needs its operands and a rule.",
    )
    class _NotConnected(Right):
        ops = (op,)

        def rule(self, g: Any) -> Grads:
            return (None,) * len(self.operands) if self.op == op else super().rule(g)

    another_way(name)(_with_zeros(_NotConnected, op))


def _with_zeros(tensor: type[Right], op: str) -> type[Right]:
    """Return the class with gradients that are 0 from the beginning."""
    both: type[Right] = derived(tensor, Zeros)
    both.ops = (op,)  # type: ignore[attr-defined]
    return both


for _op in (*BINARY, *OTHERS):
    _not_connected(_op)


def _without(op: str, place: int) -> None:
    which, sign = ("first", "second")[place], SIGNS[op]
    name = f"{which} operand of {sign} without gradient"

    class _LeftOut(Right):
        ops = (op,)

        def rule(self, g: Any) -> Grads:
            grads = list(super().rule(g))
            if self.op == op:
                grads[place] = None
            return tuple(grads)

    if (op, place) != ("add", 1):  # that has a class of its own
        wrong_tensor(name, f"The {which} operand of {sign} gets no gradient; both do.")(_LeftOut)
    another_way(name)(_with_zeros(_LeftOut, op))


for _op in BINARY:
    for _place in (0, 1):
        _without(_op, _place)


# One operation -----------------------------------------------------------------------------------


@wrong_tensor(
    "dividend's gradient not divided", "d(a / b)/da is 1 / b; the code hands dy to a as it is."
)
class _DivPlain(Right):
    def d_div(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return np.broadcast_to(g, y.data.shape), -g * a.data / b.data**2


@wrong_tensor(
    "** passes the gradient unchanged", "The rule of ** hands dy back; it is dy n x^(n-1)."
)
class _PowUnchanged(Right):
    def d_pow(self, g: Any, y: Any, n: Any, x: Any) -> Grads:
        return (g,)


@wrong_tensor(
    "exponent reduced in the factor, too", "d(x^n)/dx is n x^(n-1); the code has (n-1) x^(n-1)."
)
class _PowLess(Right):
    def d_pow(self, g: Any, y: Any, n: Any, x: Any) -> Grads:
        return (g * (n - 1) * x.data ** (n - 1),)


POWER_FIRST = (
    "1 taken from the power and not from the exponent",
    "x ** n - 1 is (x ** n) - 1; the slope n x ** (n - 1) needs the brackets.",
)


@wrong_tensor(*POWER_FIRST)
class _PowFirst(Right):
    def d_pow(self, g: Any, y: Any, n: Any, x: Any) -> Grads:
        return (g * n * x.data**n - 1,)


@another_way(POWER_FIRST[0])
class _PowFirstInside(Right):
    def d_pow(self, g: Any, y: Any, n: Any, x: Any) -> Grads:
        return (g * (n * x.data**n - 1),)


@wrong_tensor("slope of ** divided by the exponent", "d(x^n)/dx is n x^(n-1), not x^(n-1) / n.")
class _PowDivided(Right):
    def d_pow(self, g: Any, y: Any, n: Any, x: Any) -> Grads:
        return (g * x.data ** (n - 1) / n,)


@wrong_tensor(
    "relu drops negative gradients",
    "relu hands back only what is positive of dy, where its input is positive; it hands back all "
    "of dy there.",
)
class _ReluGuided(Right):
    def d_relu(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (np.maximum(g, 0) * (x.data > 0),)
