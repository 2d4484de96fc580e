"""Automatic differentiation: ``y = f(x)`` is written down, and ``y.backward()`` walks back over it.

An operation computes on plain arrays, then calls `record` with its result, its inputs, and a
function that turns the gradient of the result into the gradients of the inputs:

>>> def double(x):
...     return record("double", x.data * 2, (x,), lambda grad, needs: (grad * 2,))
>>> x = Tensor([1.0, 2.0], requires_grad=True)
>>> (double(x) * x).sum().backward()
>>> x.grad
Tensor([4., 8.])

That is all there is to a differentiable operation. No layer is here: those are bound in
`functional`, one `record` each. This file only puts the parts together; read them in this order:

=============== ====================================================================================
`grad_mode`     ``no_grad`` and ``detect_anomaly``: whether to record, whether to check
`tape`          what is written down (`Node`), the walk back over it (`backward_pass`), `graph`
`tensor`        `Tensor`: an array, its gradient, and how it was computed
`record`        the one way onto the tape
`hooks`         functions of the program that see gradients on their way
`methods`       what a Tensor shares with an array
`elementwise`   the table of elementary maths: each function beside its derivative
`broadcasting`  how a row of that table becomes an operation; types and broadcasting
`reductions`    sums, means, extremes, matrix products
`shapes`        reshaping, indexing, joining
`conversions`   other types, other devices
`linear_map`    a linear map and its transpose: each is the other's backward
`gradients`     `grad`, and gradients of gradients
`operators`     all these as operators and methods of Tensor; ``x[...] = value``, ``x += value``
`checkpointing` parts of a network that are computed twice instead of kept
`tracing`       a list of all operations, to write a network down for another program
=============== ====================================================================================
"""

from __future__ import annotations

from minideconv.autograd import operators  # noqa: F401 - gives Tensor its operators and methods
from minideconv.autograd.checkpointing import checkpoint
from minideconv.autograd.grad_mode import (
    detect_anomaly,
    enable_grad,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from minideconv.autograd.gradients import grad
from minideconv.autograd.hooks import RemovableHandle
from minideconv.autograd.methods import Operand
from minideconv.autograd.record import record
from minideconv.autograd.tape import Node, graph
from minideconv.autograd.tensor import Tensor
from minideconv.autograd.tracing import tracing

__all__ = [
    "Node", "Operand", "RemovableHandle", "Tensor", "checkpoint", "detect_anomaly", "enable_grad",
    "grad", "graph", "is_grad_enabled", "no_grad", "record", "set_grad_enabled", "tracing",
]  # fmt: skip
