"""Right classes ``Tensor``, written as students write them."""

from __future__ import annotations

import numpy as np


def unbroadcast(grad, shape):
    while grad.ndim > len(shape):
        grad = grad.sum(0)
    for axis, n in enumerate(shape):
        if n == 1:
            grad = grad.sum(axis, keepdims=True)
    return grad


class Closures:
    """Each result holds a function that adds to its operands' gradients (as in micrograd)."""

    def __init__(self, data, requires_grad=False, parents=()):
        self.data = np.array(data, dtype=float)
        self.requires_grad = requires_grad or any(p.requires_grad for p in parents)
        self.grad = np.zeros_like(self.data)
        self.parents = parents
        self.hand_back = lambda: None

    def give(self, grad):
        if self.requires_grad:
            self.grad += unbroadcast(grad, self.data.shape)

    def __add__(self, other):
        out = type(self)(self.data + other.data, parents=(self, other))

        def hand_back():
            self.give(out.grad)
            other.give(out.grad)

        out.hand_back = hand_back
        return out

    def __mul__(self, other):
        out = type(self)(self.data * other.data, parents=(self, other))

        def hand_back():
            self.give(out.grad * other.data)
            other.give(out.grad * self.data)

        out.hand_back = hand_back
        return out

    def __neg__(self):
        return self * type(self)(-1)

    def __sub__(self, other):
        return self + -other

    def __matmul__(self, other):
        out = type(self)(self.data @ other.data, parents=(self, other))

        def hand_back():
            self.give(out.grad @ other.data.T)
            other.give(self.data.T @ out.grad)

        out.hand_back = hand_back
        return out

    def one(self, data, slope):
        out = type(self)(data, parents=(self,))
        out.hand_back = lambda: self.give(slope(out.grad))
        return out

    def __pow__(self, n):
        return self.one(self.data**n, lambda g: g * n * self.data ** (n - 1))

    def __truediv__(self, other):
        return self * other**-1

    def relu(self):
        return self.one(np.maximum(self.data, 0), lambda g: g * (self.data > 0))

    def exp(self):
        y = np.exp(self.data)
        return self.one(y, lambda g: g * y)

    def log(self):
        return self.one(np.log(self.data), lambda g: g / self.data)

    def sum(self, axis=None, keepdims=False):
        kept = self.data.sum(axis, keepdims=True).shape
        return self.one(
            self.data.sum(axis, keepdims=keepdims),
            lambda g: np.broadcast_to(g.reshape(kept), self.data.shape),
        )

    def mean(self, axis=None, keepdims=False):
        total = self.sum(axis, keepdims)
        return total * type(self)(total.data.size / self.data.size)

    def reshape(self, *shape):
        return self.one(self.data.reshape(*shape), lambda g: g.reshape(self.data.shape))

    @property
    def T(self):
        return self.one(self.data.T, lambda g: g.T)

    def backward(self, gradient=None):
        order, seen, stack = [], set(), [(self, False)]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                stack += [(p, False) for p in node.parents]
        for node in order:
            if node.parents:
                node.grad = np.zeros_like(node.data)
        self.grad = np.ones_like(self.data) if gradient is None else gradient
        for node in reversed(order):
            node.hand_back()


class Listed:
    """Operations are written to a list, which backward reads from its end; gradients in a dict."""

    tape: list = []  # noqa: RUF012

    def __init__(self, data, requires_grad=False):
        self.data, self.requires_grad, self.grad = np.asarray(data), requires_grad, None

    def result(self, data, *inputs_and_rules):
        out = Listed(data, any(x.requires_grad for x, _ in inputs_and_rules))
        Listed.tape.append((out, inputs_and_rules))
        return out

    def __add__(self, o):
        return self.result(self.data + o.data, (self, lambda g: g), (o, lambda g: g))

    def __sub__(self, o):
        return self.result(self.data - o.data, (self, lambda g: g), (o, lambda g: -g))

    def __mul__(self, o):
        return self.result(
            self.data * o.data, (self, lambda g: g * o.data), (o, lambda g: g * self.data)
        )

    def __truediv__(self, o):
        return self.result(
            self.data / o.data,
            (self, lambda g: g / o.data),
            (o, lambda g: -g * self.data / (o.data * o.data)),
        )

    def __matmul__(self, o):
        return self.result(
            self.data @ o.data, (self, lambda g: g @ o.data.T), (o, lambda g: self.data.T @ g)
        )

    def __neg__(self):
        return self.result(-self.data, (self, lambda g: -g))

    def __pow__(self, n):
        return self.result(self.data**n, (self, lambda g: g * (n * self.data ** (n - 1))))

    def relu(self):
        return self.result(
            self.data * (self.data > 0), (self, lambda g: np.where(self.data > 0, g, 0))
        )

    def exp(self):
        return self.result(np.exp(self.data), (self, lambda g: np.exp(self.data) * g))

    def log(self):
        return self.result(np.log(self.data), (self, lambda g: g / self.data))

    def sum(self, axis=None, keepdims=False):
        def rule(g):
            if axis is not None and not keepdims:
                g = np.expand_dims(g, axis)
            return g * np.ones(self.data.shape, self.data.dtype)

        return self.result(self.data.sum(axis=axis, keepdims=keepdims), (self, rule))

    def mean(self, axis=None, keepdims=False):
        n = self.data.size if axis is None else self.data.shape[axis]
        return self.sum(axis, keepdims) / Listed(np.array(n, self.data.dtype))

    def reshape(self, shape):
        return self.result(self.data.reshape(shape), (self, lambda g: g.reshape(self.data.shape)))

    def transpose(self):
        return self.result(self.data.T, (self, lambda g: g.T))

    def backward(self, dy=None):
        grads = {id(self): np.ones_like(self.data) if dy is None else dy}
        for out, inputs in reversed(Listed.tape):
            g = grads.pop(id(out), None)
            if g is None:
                continue
            for x, rule in inputs:
                if x.requires_grad:
                    dx = unbroadcast(np.asarray(rule(g)), x.data.shape)
                    grads[id(x)] = grads[id(x)] + dx if id(x) in grads else dx
        owners = {id(x): x for _, inputs in Listed.tape for x, _ in inputs}
        for key, g in grads.items():
            x = owners[key]
            x.grad = Listed(g if x.grad is None else x.grad.data + g)


class Small:
    """Only what is required, in float32, with plain numbers for scalars."""

    def __init__(self, data):
        self.data, self.grad, self.made_by = np.float32(data), None, ()

    def new(self, data, *pairs):
        out = type(self)(data)
        out.made_by = pairs
        return out

    def __add__(self, o):
        return self.new(self.data + o.data, (self, lambda g: g), (o, lambda g: g))

    def __sub__(self, o):
        return self.new(self.data - o.data, (self, lambda g: g), (o, lambda g: -g))

    def __mul__(self, o):
        return self.new(
            self.data * o.data, (self, lambda g: g * o.data), (o, lambda g: g * self.data)
        )

    def __matmul__(self, o):
        return self.new(
            self.data @ o.data, (self, lambda g: g @ o.data.T), (o, lambda g: self.data.T @ g)
        )

    def sum(self):
        return self.new(self.data.sum(), (self, lambda g: g * np.ones_like(self.data)))

    def backward(self):
        uses, stack = {}, [self]
        while stack:  # how often each is used
            for x, _ in stack.pop().made_by:
                uses[id(x)] = uses.get(id(x), 0) + 1
                if uses[id(x)] == 1:
                    stack.append(x)
        grads, ready = {id(self): np.float32(1)}, [self]
        while ready:
            node = ready.pop()
            g = grads.pop(id(node))
            if not node.made_by:
                node.grad = g if node.grad is None else node.grad + g
            for x, rule in node.made_by:
                dx = unbroadcast(np.asarray(rule(g)), np.shape(x.data))
                grads[id(x)] = grads[id(x)] + dx if id(x) in grads else dx
                uses[id(x)] -= 1
                if uses[id(x)] == 0:
                    ready.append(x)


def torch_tensor():
    """Return PyTorch's tensor behind the class's constructor."""
    import torch

    def tensor(data, requires_grad=False):
        return torch.tensor(data, requires_grad=requires_grad)

    return tensor
