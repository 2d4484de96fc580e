"""Unit 5: a class that computes, remembers how, and finds the gradients of whatever was computed.

Write the parts that raise an error; all else is given. No operation may change its arguments.
"""

import numpy as np


def unbroadcast(grad, shape):
    """Return the gradient of an array of this shape that was broadcast to grad's shape.

    Broadcasting repeats numbers: along new axes at the front, and along axes of length 1. A number
    that was repeated gets the sum of the gradients of its copies.

    To do: sum over the axes that `shape` lacks; then over those that have length 1 in it (keep
    them as axes of length 1).
    """
    # BEGIN SOLUTION
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    repeated = [axis for axis, n in enumerate(shape) if n == 1 and grad.shape[axis] > 1]
    return grad.sum(axis=tuple(repeated), keepdims=True)
    # END SOLUTION


class Tensor:
    """An array that knows which Tensors it was made of.

    Attributes:
        data      the array
        grad      the gradient that `backward` found, an array of the same shape; None before
        parents   the Tensors that it was computed from; empty if it was not computed
        rule      a function: from the gradient of this Tensor to those of its parents, a tuple

    """

    def __init__(self, data, parents=(), rule=None):
        data = np.asarray(data)
        self.data = data if data.dtype.kind == "f" else data.astype(float)
        self.grad = None
        self.parents, self.rule = tuple(parents), rule

    @property
    def shape(self):
        return self.data.shape

    @staticmethod
    def of(value):
        """Return the value itself if it is a Tensor, else a Tensor of it."""
        return value if isinstance(value, Tensor) else Tensor(value)

    # Each operation computes a value and returns a Tensor with its parents and its rule. This one
    # is given as the example: c = a + b, so a change of a changes c by as much, and so for b.

    def __add__(self, other):
        other = Tensor.of(other)
        return Tensor(
            self.data + other.data,
            (self, other),
            lambda grad: (unbroadcast(grad, self.shape), unbroadcast(grad, other.shape)),
        )

    def __mul__(self, other):
        """a * b, entry by entry; shapes may broadcast. To do: the rule has a factor for each."""
        # BEGIN SOLUTION
        other = Tensor.of(other)
        return Tensor(
            self.data * other.data,
            (self, other),
            lambda grad: (
                unbroadcast(grad * other.data, self.shape),
                unbroadcast(grad * self.data, other.shape),
            ),
        )
        # END SOLUTION

    def __pow__(self, number):
        """a ** number, entry by entry; number is an int or float, no Tensor."""
        # BEGIN SOLUTION
        return Tensor(
            self.data**number,
            (self,),
            lambda grad: (grad * number * self.data ** (number - 1),),
        )
        # END SOLUTION

    def __matmul__(self, other):
        """a @ b for matrices: (m, k) @ (k, n) -> (m, n). To do: da = dc @ b.T, db = a.T @ dc."""
        # BEGIN SOLUTION
        other = Tensor.of(other)
        return Tensor(
            self.data @ other.data,
            (self, other),
            lambda grad: (grad @ other.data.T, self.data.T @ grad),
        )
        # END SOLUTION

    def relu(self):
        """Return a where it is positive, else 0. To do: the gradient is 0 wherever a is not."""
        # BEGIN SOLUTION
        positive = self.data > 0
        return Tensor(self.data * positive, (self,), lambda grad: (grad * positive,))
        # END SOLUTION

    def exp(self):
        """Return e to the power of each entry."""
        # BEGIN SOLUTION
        value = np.exp(self.data)
        return Tensor(value, (self,), lambda grad: (grad * value,))
        # END SOLUTION

    def log(self):
        """Return the natural logarithm of each entry."""
        # BEGIN SOLUTION
        return Tensor(np.log(self.data), (self,), lambda grad: (grad / self.data,))
        # END SOLUTION

    def sum(self, axis=None, keepdims=False):
        """Sum over an axis, a tuple of axes, or all (None). To do: each term gets the gradient."""
        # BEGIN SOLUTION
        value = self.data.sum(axis=axis, keepdims=keepdims)
        kept = self.data.sum(axis=axis, keepdims=True).shape

        def rule(grad):
            return (np.broadcast_to(grad.reshape(kept), self.shape).copy(),)

        return Tensor(value, (self,), rule)
        # END SOLUTION

    def reshape(self, *shape):
        """Give the same numbers another shape: `a.reshape(2, 3)` or `a.reshape((2, 3))`."""
        # BEGIN SOLUTION
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        value = self.data.reshape(shape)
        return Tensor(value, (self,), lambda grad: (grad.reshape(self.shape),))
        # END SOLUTION

    def transpose(self, *axes):
        """Put the axes into another order, as NumPy does; without an order, turn it round.

        To do: the rule undoes the order (np.argsort of it).
        """
        # BEGIN SOLUTION
        axes = axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes
        axes = axes or tuple(range(len(self.shape)))[::-1]
        back = np.argsort(axes)
        return Tensor(self.data.transpose(axes), (self,), lambda grad: (grad.transpose(back),))
        # END SOLUTION

    def backward(self, grad=None):
        """Add to the `grad` of this Tensor, and of all it was computed from, their gradients.

        `grad` is the gradient of this Tensor itself; None means ones.

        To do, in two steps. First an order in which every Tensor comes before its parents. Then in
        that order: take the gradient that has come together for a Tensor, add it to its `grad`, and
        give its parents what its rule says. A Tensor may be the parent of several others, or twice
        of one: what comes from all of them is added before it is passed on.
        """
        # BEGIN SOLUTION
        order, seen = [], set()

        def visit(tensor):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                for parent in tensor.parents:
                    visit(parent)
                order.append(tensor)

        visit(self)
        grads = {id(self): np.ones_like(self.data) if grad is None else np.asarray(grad)}
        for tensor in reversed(order):
            grad = grads.pop(id(tensor))
            tensor.grad = grad if tensor.grad is None else tensor.grad + grad
            if tensor.rule is not None:
                for parent, part in zip(tensor.parents, tensor.rule(grad)):
                    grads[id(parent)] = grads[id(parent)] + part if id(parent) in grads else part
        # END SOLUTION

    # What can be made of the operations above needs no rule of its own.

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -Tensor.of(other)

    def __truediv__(self, other):
        return self * Tensor.of(other) ** -1

    def __radd__(self, other):
        return self + other

    def __rmul__(self, other):
        return self * other

    def __rsub__(self, other):
        return Tensor.of(other) - self

    def __rtruediv__(self, other):
        return Tensor.of(other) / self

    def mean(self, axis=None, keepdims=False):
        total = self.sum(axis, keepdims)
        return total * (total.data.size / self.data.size)

    @property
    def T(self):
        return self.transpose()
