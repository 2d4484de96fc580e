"""ReLU and its backward, cut into parts for the threads, on memory of the engine.

One pass reads and writes each number once, so all that matters is memory: NumPy's `maximum` takes
new pages from the system for each large result, by one thread. Here the results come out of the
engine's memory, and each thread walks over parts of the arrays in the order in which they are
stored, whatever the order of their axes.

Small arrays, those with gaps, and two that are stored in different orders are left to the
reference, `ops.activations`.
"""

from __future__ import annotations

import numpy as np

from minideconv.backend import memory_order
from minideconv.backend.masks import bits
from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu.memory import empty
from minideconv.ops.activations import relu, relu_backward

__all__ = ["positive_part", "positive_part_backward"]

LEAST = 1 << 16  # numbers below which one call of NumPy's is quicker
PART = 1 << 19  # numbers in a part for a thread


@relu.faster("cpu")
def positive_part(x: np.ndarray) -> np.ndarray | None:
    """Return `ops.activations.relu` of `x`, stored as `x` is; None if it is not for this."""
    axes = _dense_order(x)
    if axes is None:
        return None
    y = _empty_like(x, axes)
    source, target = _flat(x, axes), _flat(y, axes)

    def compute(part: slice) -> None:
        np.maximum(source[part], 0, out=target[part])

    map_ordered(compute, _parts(x.size))
    return y


@relu_backward.faster("cpu")
def positive_part_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """Return `ops.activations.relu_backward`; None if it is not for this."""
    axes = _dense_order(y)
    if axes is None or dy.dtype != y.dtype or dy.shape != y.shape:
        return None
    if not dy.transpose(axes).flags.c_contiguous:
        return None
    dx = _empty_like(y, axes)
    above, output, below = (_flat(each, axes) for each in (dy, y, dx))

    def compute(part: slice) -> None:
        np.multiply(bits(above[part]), output[part] > 0, out=bits(below[part]))  # `selected`

    map_ordered(compute, _parts(y.size))
    return dx


def _dense_order(x: np.ndarray) -> list[int] | None:
    """Return the order of the axes in which `x` is stored without gaps; None if it is not."""
    if x.size < LEAST or x.dtype.kind != "f":
        return None
    axes = memory_order(x)
    return axes if x.transpose(axes).flags.c_contiguous else None


def _flat(x: np.ndarray, axes: list[int]) -> np.ndarray:
    return x.transpose(axes).reshape(-1)  # a view


def _empty_like(x: np.ndarray, axes: list[int]) -> np.ndarray:
    stored = empty(tuple(x.shape[axis] for axis in axes), x.dtype)
    return stored.transpose(np.argsort(axes))


def _parts(size: int) -> list[slice]:
    return [slice(start, start + PART) for start in range(0, size, PART)]
