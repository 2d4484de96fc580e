"""A step of SGD or Adam in one walk over memory.

The step of SGD with momentum reads the weights, the gradient and the momentum and writes two of
them: five arrays, 20 bytes for each weight (Adam: 28), and a few multiplications, which cost
nothing beside that. DeconvNet has 252 million weights; written as a row of array operations the
step would read and write 15 arrays of a gigabyte instead of 5. NumPy does it block by block
(`optim.blocks`); compiled, there is only one operation.

Weights may lie in any order of their axes as long as they fill their memory: they are taken in the
order in which they lie. The gradient and what the optimiser remembers must lie the same way.
"""

from __future__ import annotations

import numpy as np

from minideconv.backend.algorithms import accelerates, compiled
from minideconv.backend.parallel import map_ordered

__all__ = ["adam", "sgd"]

PART = 1 << 20  # weights in a part for a thread


@accelerates("sgd")
def sgd(
    weight: np.ndarray,
    grad: np.ndarray,
    velocity: np.ndarray | None,
    lr: float,
    undamped: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> bool | None:
    """Change `weight` and `velocity` in place and return True, or None if they are not for this.

    `undamped` is 1 - dampening, or 1 at the first step.
    """
    if velocity is None:
        parts = _parts(weight, grad)
        numbers: tuple[float, ...] = (lr, weight_decay)
    else:
        parts = _parts(weight, grad, velocity)
        numbers = (lr, momentum, undamped, weight_decay, nesterov)
    if parts is None:
        return None
    from minideconv.engine.cpu.compiled import optimizers as kernels

    step = kernels.plain_sgd if velocity is None else kernels.sgd
    map_ordered(lambda part: step(*part, *numbers), parts)
    return True


@accelerates("adam")
def adam(
    weight: np.ndarray,
    grad: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    rate: float,
    betas: tuple[float, float],
    least: float,
    decay: float,
    shrink: float,
) -> bool | None:
    """Change `weight`, `mean` and `square` in place and return True, or None as `sgd` does."""
    parts = _parts(weight, grad, mean, square)
    if parts is None:
        return None
    from minideconv.engine.cpu.compiled import optimizers as kernels

    map_ordered(lambda part: kernels.adam(*part, rate, *betas, least, decay, shrink), parts)
    return True


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
