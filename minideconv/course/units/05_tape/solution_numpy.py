"""Unit 5: a class that computes, remembers how, and finds the gradients of whatever was computed.

Write the parts that raise an error; all else is given. No operation may change its arguments.
"""

import itertools

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
        data           the array
        requires_grad  whether it gets a gradient; a result does if any of its parents does
        grad           the gradient that `backward` found, an array of the same shape; None before
        parents        the Tensors that it was computed from; empty if it was not computed
        rule           a function: from the gradient of this Tensor to those of its parents, a tuple
        number         a Tensor that was made later has a larger one

    """

    made = itertools.count()

    def __init__(self, data, requires_grad=False, parents=(), rule=None):
        data = np.asarray(data)
        self.data = data if data.dtype.kind == "f" else data.astype(float)
        self.parents, self.rule = tuple(parents), rule
        self.requires_grad = requires_grad or any(p.requires_grad for p in self.parents)
        self.grad = None
        self.number = next(Tensor.made)

    @property
    def shape(self):
        return self.data.shape

    @staticmethod
    def of(value):
        """Return the value itself if it is a Tensor, else a Tensor of it."""
        return value if isinstance(value, Tensor) else Tensor(value)

    @classmethod
    def computed(cls, value, parents, rule):
        """Return the result of an operation. This function is given."""

        def tuple_of(grad):
            parts = rule(grad)
            if not isinstance(parts, tuple) or len(parts) != len(parents):
                raise TypeError(f"a rule returns a tuple, here with {len(parents)} gradients")
            return parts

        return cls(value, parents=parents, rule=tuple_of)

    # Each operation computes a value and returns a Tensor with its parents and its rule. This one
    # is given as the example: c = a + b, so a change of a changes c by as much, and so for b.

    def __add__(self, other):
        other = Tensor.of(other)
        return self.computed(
            self.data + other.data,
            (self, other),
            lambda grad: (unbroadcast(grad, self.shape), unbroadcast(grad, other.shape)),
        )

    def __mul__(self, other):
        """a * b, entry by entry; shapes may broadcast. To do: the rule has a factor for each."""
        # BEGIN SOLUTION
        other = Tensor.of(other)
        return self.computed(
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
        return self.computed(
            self.data**number,
            (self,),
            lambda grad: (grad * number * self.data ** (number - 1),),
        )
        # END SOLUTION

    def __matmul__(self, other):
        """a @ b for matrices: (m, k) @ (k, n) -> (m, n). To do: da = dc @ b.T, db = a.T @ dc."""
        # BEGIN SOLUTION
        other = Tensor.of(other)
        return self.computed(
            self.data @ other.data,
            (self, other),
            lambda grad: (grad @ other.data.T, self.data.T @ grad),
        )
        # END SOLUTION

    def relu(self):
        """Return a where it is positive, else 0. To do: the gradient is 0 wherever a is not."""
        # BEGIN SOLUTION
        positive = self.data > 0
        return self.computed(self.data * positive, (self,), lambda grad: (grad * positive,))
        # END SOLUTION

    def exp(self):
        """Return e to the power of each entry."""
        # BEGIN SOLUTION
        value = np.exp(self.data)
        return self.computed(value, (self,), lambda grad: (grad * value,))
        # END SOLUTION

    def log(self):
        """Return the natural logarithm of each entry."""
        # BEGIN SOLUTION
        return self.computed(np.log(self.data), (self,), lambda grad: (grad / self.data,))
        # END SOLUTION

    def sum(self, axis=None, keepdims=False):
        """Sum over an axis, a tuple of axes, or all (None). To do: each term gets the gradient."""
        # BEGIN SOLUTION
        value = self.data.sum(axis=axis, keepdims=keepdims)
        kept = self.data.sum(axis=axis, keepdims=True).shape

        def rule(grad):
            return (np.broadcast_to(grad.reshape(kept), self.shape).copy(),)

        return self.computed(value, (self,), rule)
        # END SOLUTION

    def reshape(self, *shape):
        """Give the same numbers another shape: `a.reshape(2, 3)` or `a.reshape((2, 3))`."""
        # BEGIN SOLUTION
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        value = self.data.reshape(shape)
        return self.computed(value, (self,), lambda grad: (grad.reshape(self.shape),))
        # END SOLUTION

    def transpose(self, *axes):
        """Put the axes into another order, as NumPy does; without an order, turn it round.

        To do: the rule undoes the order (np.argsort of it).
        """
        # BEGIN SOLUTION
        axes = axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes
        axes = axes or tuple(range(len(self.shape)))[::-1]
        back = np.argsort(axes)
        return self.computed(
            self.data.transpose(axes), (self,), lambda grad: (grad.transpose(back),)
        )
        # END SOLUTION

    def backward(self, grad=None):
        """Add to the `grad` of this Tensor, and of all it was computed from, their gradients.

        `grad` is the gradient of this Tensor itself; None means ones.

        To do, in two steps. First find all Tensors that this one was computed from, itself among
        them (a list of those that wait to be looked at; no function that calls itself, as there may
        be thousands of them in a chain). Then go through them from the newest to the oldest: take
        the gradient that has come together for a Tensor, add it to its `grad`, and give its parents
        what its rule says. A Tensor may be the parent of several others, or twice of one: what
        comes from all of them is added before it is passed on. What requires no gradient gets none.
        """
        # BEGIN SOLUTION
        found, waiting = {}, [self]
        while waiting:
            tensor = waiting.pop()
            if tensor.requires_grad and id(tensor) not in found:
                found[id(tensor)] = tensor
                waiting.extend(tensor.parents)
        grads = {id(self): np.ones_like(self.data) if grad is None else np.asarray(grad)}
        for tensor in sorted(found.values(), key=lambda t: t.number, reverse=True):
            grad = grads.pop(id(tensor))
            tensor.grad = grad if tensor.grad is None else tensor.grad + grad
            if tensor.rule is not None:
                for parent, part in zip(tensor.parents, tensor.rule(grad)):
                    if parent.requires_grad:
                        before = grads.get(id(parent))
                        grads[id(parent)] = part if before is None else before + part
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
