"""Wrong classes ``Tensor``: values, operands that are left out, and what is kept on the nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minideconv.testing.mistakes.tensor import Grads, Right, wrong_tensor

__all__: list[str] = []  # they are reached through the bank

VALUES = ("y", "grads")

# Values ------------------------------------------------------------------------------------------


@wrong_tensor("a - b computed as b - a", "The operands of a subtraction are interchanged.", *VALUES)
class _Reversed(Right):
    def __sub__(self, other: Any) -> Any:
        return self.made("sub", other.data - self.data, other, self)


@wrong_tensor("mean computed as the sum", "The sum is not divided by the count.", *VALUES)
class _MeanIsSum(Right):
    def mean(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Return the sum."""
        return self.sum(axis, keepdims)


@wrong_tensor("division rounded down", "a // b is computed; it is a / b.", *VALUES)
class _FloorDivision(Right):
    def __truediv__(self, other: Any) -> Any:
        return self.made("div", self.data // other.data, self, other)


@wrong_tensor("power computed as a product", "n x is computed; it is x^n.", *VALUES)
class _PowerIsProduct(Right):
    def __pow__(self, n: int) -> Any:
        return self.made("scaled", self.data * n, self, option=n)

    def d_scaled(self, g: Any, y: Any, n: Any, x: Any) -> Grads:
        """Return the gradient of n x."""
        return (g * n,)


@wrong_tensor("axis ignored", "A sum or mean over an axis is taken over all numbers.", *VALUES)
class _AxisIgnored(Right):
    def sum(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Return the sum over all."""
        return super().sum(None, keepdims)

    def mean(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Return the mean over all."""
        return super().mean(None, keepdims)


@wrong_tensor("shape of the transpose without its turn", "A transpose is reshaped: its numbers "
              "stay in row-major order.", *VALUES)  # fmt: skip
class _TransposeReshapes(Right):
    @property
    def T(self) -> Any:
        """The same numbers, in the transpose's shape."""
        return self.made("reshape", self.data.reshape(self.data.shape[::-1]), self)


# Operands ----------------------------------------------------------------------------------------


def _without(op: str, sign: str, place: int) -> None:
    which = ("first", "second")[place]

    @wrong_tensor(f"{which} operand of {sign} without gradient",
                  f"The {which} operand of {sign} gets no gradient; both do.")  # fmt: skip
    class _LeftOut(Right):
        def rule(self, g: Any) -> Grads:
            grads = list(super().rule(g))
            if self.op == op:
                grads[place] = None
            return tuple(grads)


for _op, _sign in (("add", "+"), ("sub", "-"), ("mul", "*"), ("div", "/"), ("matmul", "@")):
    for _place in (0, 1):
        if (_op, _place) != ("add", 1):  # that has a class of its own
            _without(_op, _sign, _place)


@wrong_tensor(
    "one gradient for two operands that are one tensor",
    "Of x * x and x + x, x gets the gradient of one operand; it gets both.",
)
class _Once(Right):
    def send(self) -> None:
        if len(self.operands) == 2 and self.operands[0] is self.operands[1]:
            self.operands[0].receive(np.asarray(self.rule(self.grad)[0]))
        else:
            super().send()


@wrong_tensor(
    "no gradient through an operation with a constant",
    "A result requires a gradient only if all operands do; it does if any does.",
)
class _All(Right):
    def made(self, op: str, data: Any, *operands: Any, option: Any = ()) -> Any:
        """Return the result of an operation."""
        y = super().made(op, data, *operands, option=option)
        y.requires_grad = all(x.requires_grad for x in operands)
        return y


@wrong_tensor(
    "gradient of the second factor of @ transposed", "db = a.T @ dy; the code has dy.T @ a."
)
class _SecondTransposed(Right):
    def d_matmul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return g @ b.data.T, g.T @ a.data


@wrong_tensor(
    "gradient of the first factor of @ transposed", "da = dy @ b.T; the code has b @ dy.T."
)
class _FirstTransposed(Right):
    def d_matmul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return b.data @ g.T, a.data.T @ g


@wrong_tensor(
    "mean divided by the length of the first axis",
    "The gradient of a mean is divided by len(x); it is divided by the number that it is over.",
)
class _MeanOfRows(Right):
    def count(self, option: Any, x: Any) -> Any:
        return len(x.data) if x.data.ndim else 1


# Nodes -------------------------------------------------------------------------------------------


@wrong_tensor(
    "a second backward goes nowhere",
    "Nodes are marked as visited and never unmarked, so that a second call of backward visits "
    "none; it adds the gradients once more.",
)
class _Marked(Right):
    visited = False

    def backward(self, grad: Any = None) -> None:
        nodes = [x for x in self.order() if not x.visited]
        self.begin()
        self.receive(self.seed(grad))
        for node in nodes:
            node.visited = True
            if node.operands and node.grad is not None:
                node.send()


@wrong_tensor("all gradients 0", "backward begins with a gradient of 0; dy/dy is 1.")
class _ZeroSeed(Right):
    def seed(self, grad: Any = None) -> Any:
        return np.zeros_like(self.data)


class _Unordered(Right):
    """Every node hands its gradient back, in the order in which it was made, first to last."""

    def order(self) -> Iterator[Any]:
        return reversed(list(super().order()))


@wrong_tensor(
    "nodes visited from the first to the last",
    "The order of the nodes is not reversed: a node hands its gradient back before it has any.",
)
class _NotReversed(_Unordered):
    pass
