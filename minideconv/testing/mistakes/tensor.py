"""The plainest right class ``Tensor``: a mistake replaces one of its methods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

__all__ = ["Grads", "Right"]

Grads = tuple[Any, ...]
"""Gradients of the operands of a node."""


class Right:
    """A number array that knows how it was made, and hands gradients back to its operands.

    ``d_OP(g, y, option, *operands)`` returns the gradients of the operands of OP, from the gradient
    g of its result y.
    """

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.data = np.asarray(data)
        self.requires_grad = requires_grad
        self.grad: Any = None
        self.operands: tuple[Any, ...] = ()
        self.op, self.option = "", ()

    def made(self, op: str, data: Any, *operands: Any, option: Any = ()) -> Any:
        """Return the result of an operation."""
        y = type(self)(data, any(x.requires_grad for x in operands))
        y.op, y.operands, y.option = op, operands, option
        return y

    # Forward --------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Any:
        return self.made("add", self.data + other.data, self, other)

    def __sub__(self, other: Any) -> Any:
        return self.made("sub", self.data - other.data, self, other)

    def __mul__(self, other: Any) -> Any:
        return self.made("mul", self.data * other.data, self, other)

    def __truediv__(self, other: Any) -> Any:
        return self.made("div", self.data / other.data, self, other)

    def __matmul__(self, other: Any) -> Any:
        return self.made("matmul", self.data @ other.data, self, other)

    def __neg__(self) -> Any:
        return self.made("neg", -self.data, self)

    def __pow__(self, n: int) -> Any:
        return self.made("pow", self.data**n, self, option=n)

    def relu(self) -> Any:
        """Return max(x, 0)."""
        return self.made("relu", np.maximum(self.data, 0), self)

    def exp(self) -> Any:
        """Return e^x."""
        return self.made("exp", np.exp(self.data), self)

    def log(self) -> Any:
        """Return the natural logarithm."""
        return self.made("log", np.log(self.data), self)

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Return the sum over an axis, or over all."""
        y = self.data.sum(axis=axis, keepdims=keepdims)
        return self.made("sum", y, self, option=(axis, keepdims))

    def mean(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Return the mean over an axis, or over all."""
        y = self.data.mean(axis=axis, keepdims=keepdims)
        return self.made("mean", y, self, option=(axis, keepdims))

    def reshape(self, *shape: Any) -> Any:
        """Return the same numbers in another shape."""
        return self.made("reshape", self.data.reshape(*shape), self)

    @property
    def T(self) -> Any:
        """The transpose of a matrix."""
        return self.made("transpose", self.data.T, self)

    def transpose(self, *order: int) -> Any:
        """Return the axes in another order."""
        return self.made("transpose", self.data.transpose(order), self, option=order)

    # Backward -------------------------------------------------------------------------------

    def seed(self, grad: Any = None) -> Any:
        """Return the gradient of the result that backward begins with."""
        return np.ones_like(self.data) if grad is None else grad

    def order(self) -> Iterator[Any]:
        """Yield the nodes from the result back, each after all that use it."""
        found: list[Any] = []
        seen: set[int] = set()
        stack = [(self, False)]
        while stack:
            node, finished = stack.pop()
            if finished:
                found.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                stack += [(x, False) for x in node.stacked()]
        return reversed(found)

    def stacked(self) -> Sequence[Any]:
        """Return the operands, of which the last is visited first."""
        return self.operands

    def begin(self) -> None:
        """Forget the gradients of intermediate results."""
        for node in self.order():
            if node.operands:
                node.grad = None

    def receive(self, grad: Any) -> None:
        """Add to the gradient."""
        if self.requires_grad:
            self.grad = grad.copy() if self.grad is None else self.grad + grad

    def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
        """Sum a gradient over the axes that broadcasting added or repeated."""
        if grad.shape == shape:
            return grad
        grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
        repeated = tuple(i for i, n in enumerate(shape) if n == 1 and grad.shape[i] > 1)
        return grad.sum(axis=repeated, keepdims=True)

    def rule(self, g: Any) -> Grads:
        """Return the gradients of the operands, not yet summed where they were broadcast."""
        found: Grads = getattr(self, f"d_{self.op}")(g, self, self.option, *self.operands)
        return found

    def fitted(self, place: int, grad: Any) -> Any:
        """Return the gradient of an operand in that operand's shape."""
        if self.op not in ("add", "sub", "mul", "div"):
            return np.asarray(grad)
        return self.fit(np.asarray(grad), self.operands[place].data.shape)

    def handed(self, g: Any) -> list[Any]:
        """Return the gradients of the operands from that of this node; None: there is none."""
        grads = enumerate(self.rule(g))
        return [None if grad is None else self.fitted(k, grad) for k, grad in grads]

    def send(self) -> None:
        """Hand the gradient back to the operands."""
        for x, grad in zip(self.operands, self.handed(self.grad), strict=True):
            if grad is not None:
                x.receive(grad)

    def backward(self, grad: Any = None) -> None:
        """Add the gradients of this number to those of all leaves."""
        self.begin()
        self.receive(self.seed(grad))
        for node in self.order():
            if node.operands and node.grad is not None:
                node.send()

    def d_add(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        """Return the gradients of a + b."""
        return g, g

    def d_sub(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        """Return the gradients of a - b."""
        return g, -g

    def d_mul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        """Return the gradients of a * b."""
        return g * b.data, g * a.data

    def d_div(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        """Return the gradients of a / b."""
        return g / b.data, -g * a.data / b.data**2

    def d_matmul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        """Return the gradients of a @ b."""
        return g @ b.data.T, a.data.T @ g

    def d_neg(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        """Return the gradient of -x."""
        return (-g,)

    def d_pow(self, g: Any, y: Any, n: Any, x: Any) -> Grads:
        """Return the gradient of x ** n."""
        return (g * n * x.data ** (n - 1),)

    def d_relu(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        """Return the gradient of relu."""
        return (g * (x.data > 0),)

    def d_exp(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        """Return the gradient of exp."""
        return (g * y.data,)

    def d_log(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        """Return the gradient of log."""
        return (g / x.data,)

    def spread(self, g: Any, option: Any, x: Any) -> Any:
        """Repeat a gradient along the axis that was summed over."""
        axis, keepdims = option
        if axis is not None and not keepdims:
            g = np.expand_dims(g, axis)
        return np.broadcast_to(g, x.data.shape)

    def count(self, option: Any, x: Any) -> Any:
        """Return how many numbers a mean is over."""
        return x.data.size if option[0] is None else x.data.shape[option[0]]

    def d_sum(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        """Return the gradient of a sum."""
        return (self.spread(g, option, x),)

    def d_mean(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        """Return the gradient of a mean."""
        return (self.spread(g, option, x) / self.count(option, x),)

    def d_reshape(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        """Return the gradient of reshape."""
        return (g.reshape(x.data.shape),)

    def d_transpose(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        """Return the gradient of the transpose."""
        return (g.transpose(np.argsort(option)) if option else g.T,)
