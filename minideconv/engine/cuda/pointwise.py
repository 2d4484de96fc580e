"""Pointwise operations on arrays that are stored channels last: the ops' own code, on another view.

An elementwise operation is one launch in CuPy, and needs no kernel of ours. But CuPy knows two
orders of the axes in memory, and channels last is neither: from such an array it makes one with
rows last, and on the way there threads side by side read numbers far apart. Behind such a ReLU the
next convolution would have to copy the whole array back.

So each function here turns the axes until the array is an ordinary one, calls the op again, and
turns the result back. For an ordinary array it declines, and the op carries on by itself.
"""

from __future__ import annotations

from collections.abc import Callable

from minideconv.backend import Array
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
    return _in_memory_order(lambda _, x: activations.relu(x), 0, x)


@activations.relu_backward.faster("gpu")
def relu_backward(dy: Array, y: Array) -> Array | None:
    """`ops.relu_backward`."""
    return _in_memory_order(lambda _, y, dy: activations.relu_backward(dy, y), 0, y, dy)


@activations.softmax_core.faster("gpu")
def softmax(x: Array, dim: int) -> Array | None:
    """`ops.softmax`."""
    return _in_memory_order(lambda dim, x: activations.softmax(x, dim), dim, x)


@activations.softmax_backward.faster("gpu")
def softmax_backward(dy: Array, y: Array, dim: int) -> Array | None:
    """`ops.softmax_backward`."""
    return _in_memory_order(lambda dim, y, dy: activations.softmax_backward(dy, y, dim), dim, y, dy)


@activations.log_softmax_core.faster("gpu")
def log_softmax(x: Array, dim: int) -> Array | None:
    """`ops.log_softmax`."""
    return _in_memory_order(lambda dim, x: activations.log_softmax(x, dim), dim, x)


@activations.log_softmax_backward.faster("gpu")
def log_softmax_backward(dy: Array, y: Array, dim: int) -> Array | None:
    """`ops.log_softmax_backward`."""
    return _in_memory_order(
        lambda dim, y, dy: activations.log_softmax_backward(dy, y, dim), dim, y, dy
    )


@multiplied.faster("gpu")
def masked(x: Array, mask: Array) -> Array | None:
    """`ops.dropout.masked`: the product of two arrays."""
    return _in_memory_order(lambda _, mask, x: multiplied(x, mask), 0, mask, x)


def _in_memory_order(
    function: Callable[..., Array], dim: int, first: Array, *others: Array
) -> Array | None:
    """Return ``function(dim, first, *others)``, computed in the order in which `first` is stored.

    None if that is the order of its axes. `function` gets the new position of axis `dim`.
    """
    if first.flags.c_contiguous:
        return None
    axes = sorted(range(first.ndim), key=lambda axis: -abs(first.strides[axis]))
    if axes == list(range(first.ndim)):
        return None
    back = sorted(range(first.ndim), key=axes.__getitem__)
    result = function(back[dim], *(array.transpose(axes) for array in (first, *others)))
    return result.transpose(back)
