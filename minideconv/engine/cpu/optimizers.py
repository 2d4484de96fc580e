"""A step of SGD or Adam in one walk over memory.

The step of SGD with momentum reads the weights, the gradient and the momentum and writes two of
them: five arrays, 20 bytes for each weight (Adam: 28), and a few multiplications, which cost
nothing beside that. DeconvNet has 252 million weights; written as a row of array operations the
step would read and write 15 arrays of a gigabyte instead of 5. NumPy does it block by block
(`optim.blocks`, and, for Adam, here, where every result is written in place); compiled, there is
only one operation.

Weights may be stored in any order of their axes as long as they fill their memory: they are taken
in the order in which they are stored. The gradient and what the optimiser remembers must be stored
the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minideconv.backend.algorithms import compiled
from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu.memory import workspace

__all__ = ["adam", "adam_numbers", "sgd"]

PART = 1 << 20  # weights in a part for a thread
BLOCK = 1 << 14  # and in a block that NumPy works on: all arrays of it fit into a core's cache


def sgd(
    weight: np.ndarray,
    grad: np.ndarray,
    velocity: np.ndarray | None,
    numbers: tuple[float, float],
    momentum: float,
    weight_decay: float,
    nesterov: bool,
    skip: None = None,
) -> bool | None:
    """`optim.sgd`: change `weight` and `velocity` in place and return True.

    None if they are not for this.
    """
    lr, undamped = numbers
    if velocity is None:
        return _walk("plain_sgd", (weight, grad), (lr, weight_decay))
    options = (lr, momentum, undamped, weight_decay, nesterov)
    return _walk("sgd", (weight, grad, velocity), options)


def adam(
    weight: np.ndarray,
    grad: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    numbers: tuple[float, float],
    betas: Sequence[float],
    eps: float,
    weight_decay: float,
    decoupled: bool,
    skip: None = None,
) -> bool | None:
    """`optim.adam`: change `weight`, `mean` and `square` in place and return True.

    None if they are not for this.
    """
    options = adam_numbers(numbers, betas, eps, weight_decay, decoupled)
    return _walk("adam", (weight, grad, mean, square), options, _adam)


def adam_numbers(
    numbers: tuple[float, float],
    betas: Sequence[float],
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> tuple[float, ...]:
    """Return a kernel's numbers: rate, b1, b2, least, decay of the gradient, factor of the weight.

    See `optim.adam` for the first and the fourth of them.
    """
    (lr, t), (b1, b2) = numbers, betas
    root = (1 - b2**t) ** 0.5
    decay, shrink = (0.0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1.0)
    return lr * root / (1 - b1**t), b1, b2, eps * root, decay, shrink


def _walk(
    name: str, arrays: tuple[np.ndarray, ...], options: Any, in_numpy: Any = None
) -> bool | None:
    """Take the step `name` on parts of the arrays; None if they are left to the reference."""
    step, parts = in_numpy, _parts(*arrays)
    if parts is None:
        return None
    if compiled():
        from minideconv.engine.cpu.compiled import optimizers as kernels

        step = getattr(kernels, name)
    elif step is None:
        return None
    map_ordered(lambda part: step(*part, *options), parts)
    return True


def _parts(*arrays: np.ndarray) -> list[tuple[np.ndarray, ...]] | None:
    """Cut flat arrays into parts, or return None if they are not float32 side by side."""
    size = arrays[0].size
    for array in arrays:
        plain = type(array) is np.ndarray and array.dtype == np.float32 and array.size == size
        if not plain or not array.flags.c_contiguous:
            return None
    return list(_cut(arrays, PART)) if size > PART else [arrays]


def _cut(arrays: Sequence[np.ndarray], length: int) -> Iterator[tuple[np.ndarray, ...]]:
    for start in range(0, arrays[0].size, length):
        yield tuple(array[start : start + length] for array in arrays)


def _adam(*given: Any) -> None:
    """Take the step of the compiled `adam` in NumPy: every result is written in place."""
    *arrays, rate, b1, b2, least, decay, shrink = given
    temporary = workspace("adam", (2, BLOCK))
    for w, g, m, v in _cut(arrays, BLOCK):
        d, t = temporary[:, : w.size]
        if decay:
            g = np.add(np.multiply(w, decay, out=d), g, out=d)
        m *= b1
        m += np.multiply(g, 1 - b1, out=t)
        v *= b2
        np.multiply(g, g, out=t)
        v += np.multiply(t, 1 - b2, out=t)
        np.sqrt(v, out=t)
        t += least
        np.divide(m, t, out=t)
        if shrink != 1:
            w *= shrink
        w -= np.multiply(t, rate, out=t)
