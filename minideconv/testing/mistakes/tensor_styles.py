"""Right classes ``Tensor`` of other styles: a mistake looks different in each.

A student's class keeps the gradients of a call on the nodes or in a dictionary, visits the operands
from either end, and makes ``a - b``, ``a / b`` and the mean of other operations or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minideconv.testing.mistakes.tensor import Right

__all__ = ["MADE_OF", "Apart", "Composed", "Dictionary", "Fitting", "OtherOrder", "Zeros"]

MADE_OF = {
    "neg": {"mul"},
    "sub": {"add", "mul"},
    "div": {"mul", "pow"},
    "mean": {"sum", "mul"},
}
"""Operations that `Composed` makes of others."""


class Composed(Right):
    """Negation, difference, quotient and mean are made of ``+``, ``*``, ``**`` and the sum."""

    def times(self, number: float) -> Any:
        """Return the product with a number."""
        return self * type(self)(np.asarray(number, self.data.dtype))

    def __neg__(self) -> Any:
        return self.times(-1.0)

    def __sub__(self, other: Any) -> Any:
        return self + -other

    def __truediv__(self, other: Any) -> Any:
        return self * other**-1

    def mean(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Return the mean over an axis, or over all."""
        total = self.sum(axis, keepdims)
        return total.times(total.data.size / self.data.size)


class OtherOrder(Right):
    """Another right order: operands are visited from the first to the last."""

    def stacked(self) -> Sequence[Any]:
        """Return the operands, of which the last is visited first."""
        return self.operands[::-1]


class Apart(Right):
    """The gradients of one call are kept apart, and added to those of the leaves at its end."""

    def backward(self, grad: Any = None) -> None:
        """Add the gradients of this call to earlier ones."""
        before = {id(x): (x, x.grad) for x in self.order() if not x.operands}
        for x, _ in before.values():
            x.grad = None
        super().backward(grad)
        for x, kept in before.values():
            if kept is not None:
                x.grad = kept if x.grad is None else kept + x.grad


class Dictionary(Right):
    """The gradients of a call are in a dictionary, and added to those of a node at its visit."""

    def backward(self, grad: Any = None) -> None:
        """Add the gradients of this number to those of all it was made of."""
        if not self.requires_grad:
            return
        grads = {id(self): np.asarray(self.seed(grad))}
        for node in self.order():
            if id(node) in grads:
                node.visit(grads)

    def visit(self, grads: dict[int, Any]) -> None:
        """Take what has come together, and hand it back."""
        g = grads.pop(id(self))
        self.keep(g)
        if self.operands:
            for x, part in zip(self.operands, self.handed(g), strict=True):
                if part is not None and x.requires_grad:
                    x.enter(grads, part)

    def keep(self, g: Any) -> None:
        """Add the gradient of this call to those of earlier ones."""
        self.grad = g + 0 if self.grad is None else self.grad + g

    def enter(self, grads: dict[int, Any], part: Any) -> None:
        """Add to the gradient of this call."""
        grads[id(self)] = grads[id(self)] + part if id(self) in grads else part


class Fitting(Right):
    """Every gradient is summed to the shape of its operand, whatever the operation."""

    def fitted(self, place: int, grad: Any) -> Any:
        """Return the gradient of an operand in that operand's shape."""
        return self.fit(np.asarray(grad), self.operands[place].data.shape)


class Zeros(Right):
    """A gradient is 0 from the beginning, and not None."""

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        super().__init__(data, requires_grad)
        self.grad = np.zeros(self.data.shape)

    def begin(self) -> None:
        """Set the gradients of intermediate results to 0."""
        for node in self.order():
            if node.operands:
                node.grad = np.zeros(node.data.shape)

    def send(self) -> None:
        """Hand the gradient back, unless there is none."""
        if self.requires_grad:
            super().send()
