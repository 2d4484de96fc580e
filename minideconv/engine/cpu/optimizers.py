"""A step of SGD or Adam in one walk over memory.

The step of SGD with momentum reads the weights, the gradient and the momentum and writes two of
them: five arrays, 20 bytes for each weight (Adam: 28), and a few multiplications, which cost
nothing beside that. DeconvNet has 252 million weights; written as a row of array operations the
step would read and write 15 arrays of a gigabyte instead of 5. NumPy does it block by block
(`optim.blocks`); compiled, there is only one operation.

Weights may be stored in any order of their axes as long as they fill their memory: they are taken
in the order in which they are stored. The gradient and what the optimiser remembers must be stored
the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minideconv.backend.algorithms import compiled
from minideconv.backend.parallel import map_ordered

__all__ = ["adam", "adam_numbers", "sgd"]

PART = 1 << 20  # weights in a part for a thread


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
        parts = _parts(weight, grad)
        options: tuple[float, ...] = (lr, weight_decay)
    else:
        parts = _parts(weight, grad, velocity)
        options = (lr, momentum, undamped, weight_decay, nesterov)
    if parts is None:
        return None
    from minideconv.engine.cpu.compiled import optimizers as kernels

    step = kernels.plain_sgd if velocity is None else kernels.sgd
    map_ordered(lambda part: step(*part, *options), parts)
    return True


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
    parts = _parts(weight, grad, mean, square)
    if parts is None:
        return None
    from minideconv.engine.cpu.compiled import optimizers as kernels

    options = adam_numbers(numbers, betas, eps, weight_decay, decoupled)
    map_ordered(lambda part: kernels.adam(*part, *options), parts)
    return True


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


def _parts(*arrays: np.ndarray) -> list[tuple[np.ndarray, ...]] | None:
    """Cut flat arrays into parts, or return None if a kernel cannot have them."""
    if not compiled():
        return None
    for array in arrays:
        if (
            type(array) is not np.ndarray
            or array.dtype != np.float32
            or not array.flags.c_contiguous
            or array.size != arrays[0].size
        ):
            return None
    size = arrays[0].size
    if size <= PART:
        return [arrays]
    return [
        tuple(array[start : start + PART] for array in arrays) for start in range(0, size, PART)
    ]
