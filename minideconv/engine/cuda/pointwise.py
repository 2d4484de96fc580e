"""Pointwise operations on arrays that are stored channels last: the ops' own code, on another view.

An elementwise operation is one launch in CuPy, and needs no kernel of ours. But CuPy has two
orders of the axes in memory, and channels last is neither: from such an array it makes one with
rows last, and on the way there threads side by side read numbers far apart. Behind such a ReLU the
next convolution would have to copy the whole array back.

So each function here turns the axes until the array is an ordinary one, calls the op again, and
turns the result back. For an ordinary array it declines, and the op carries on by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.backend import Array, memory_order
from minideconv.ops import activations
from minideconv.ops.dropout import masked as multiplied

__all__ = [
    "log_softmax",
    "log_softmax_backward",
    "masked",
    "relu",
    "relu_backward",
    "softmax",
    "softmax_backward",
]


@activations.relu.faster("gpu")
def relu(x: Array) -> Array | None:
    """`ops.relu`."""
    return _in_memory_order(activations.relu, x)


@activations.relu_backward.faster("gpu")
def relu_backward(dy: Array, y: Array) -> Array | None:
    """`ops.relu_backward`."""
    return _in_memory_order(activations.relu_backward, dy, y)


@activations.softmax_core.faster("gpu")
def softmax(x: Array, dim: int) -> Array | None:
    """`ops.softmax`."""
    return _in_memory_order(activations.softmax, x, dim=dim)


@activations.softmax_backward.faster("gpu")
def softmax_backward(dy: Array, y: Array, dim: int) -> Array | None:
    """`ops.softmax_backward`."""
    return _in_memory_order(activations.softmax_backward, dy, y, dim=dim)


@activations.log_softmax_core.faster("gpu")
def log_softmax(x: Array, dim: int) -> Array | None:
    """`ops.log_softmax`."""
    return _in_memory_order(activations.log_softmax, x, dim=dim)


@activations.log_softmax_backward.faster("gpu")
def log_softmax_backward(dy: Array, y: Array, dim: int) -> Array | None:
    """`ops.log_softmax_backward`."""
    return _in_memory_order(activations.log_softmax_backward, dy, y, dim=dim)


@multiplied.faster("gpu")
def masked(x: Array, mask: Array) -> Array | None:
    """`ops.dropout.masked`: the product of two arrays."""
    return _in_memory_order(multiplied, x, mask)


def _in_memory_order(
    function: Callable[..., Array], *arrays: Array, dim: int | None = None
) -> Array | None:
    """Return ``function(*arrays, dim)``, computed in the order in which the last one is stored.

    None if that is the order of its axes.
    """
    last = arrays[-1]
    if last.flags.c_contiguous or (axes := memory_order(last)) == list(range(last.ndim)):
        return None
    back = np.argsort(axes)
    dims = () if dim is None else (int(back[dim]),)
    result = function(*(array.transpose(axes) for array in arrays), *dims)
    return result.transpose(back)
