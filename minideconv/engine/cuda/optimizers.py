"""A step of SGD or Adam on a GPU: one launch for each array of weights.

With flat parameters (`optim.flat`) that is one launch for each group of parameters, and the step of
DeconvNet's 252 million weights takes the time in which 20 bytes of each go through memory. The
kernels are in `kernels/optimizers.cu`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minideconv.backend import Array
from minideconv.backend.algorithms import accelerates
from minideconv.engine.cuda.module import BLOCK, launch

__all__ = ["MOST_BLOCKS", "adam", "adam_told", "flat_arrays", "sgd", "sgd_told", "threads_for"]

MOST_BLOCKS = 1 << 12
"""Blocks in a grid: more than any GPU has at a time, few enough that what each thread computes
before its first element counts for nothing."""

_FILE = "optimizers.cu"


@accelerates("sgd", "gpu")
def sgd(
    weight: Array,
    grad: Array,
    velocity: Array | None,
    lr: float,
    undamped: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> bool | None:
    """Change `weight` and `velocity` in place and return True, or None if they are not for this.

    `undamped` is 1 - dampening, or 1 at the first step.
    """
    arrays = (weight, grad, weight if velocity is None else velocity)
    return _walk("sgd", arrays, (lr, undamped, momentum, weight_decay, int(nesterov)))


@accelerates("sgd_told", "gpu")
def sgd_told(
    weight: Array,
    grad: Array,
    velocity: Array | None,
    numbers: Array,
    skip: Array,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> bool | None:
    """Do the same with lr and `undamped` read from `numbers` (2,), or nothing if ``skip[0]``."""
    arrays = (weight, grad, weight if velocity is None else velocity)
    return _walk("sgd_told", arrays, (numbers, skip, momentum, weight_decay, int(nesterov)))


@accelerates("adam", "gpu")
def adam(
    weight: Array,
    grad: Array,
    mean: Array,
    square: Array,
    rate: float,
    betas: tuple[float, float],
    least: float,
    decay: float,
    shrink: float,
) -> bool | None:
    """Change `weight`, `mean` and `square` in place and return True, or None as `sgd` does."""
    b1, b2 = betas
    numbers = (rate, least, b1, 1 - b1, b2, 1 - b2, decay, shrink)
    return _walk("adam", (weight, grad, mean, square), numbers)


@accelerates("adam_told", "gpu")
def adam_told(
    weight: Array,
    grad: Array,
    mean: Array,
    square: Array,
    numbers: Array,
    skip: Array,
    betas: tuple[float, float],
    eps: float,
    decay: float,
    shrinks: float,
) -> bool | None:
    """Do the same with lr and the number of the step read from `numbers` (2,).

    ``skip[0]`` says whether to do nothing, ``skip[1]`` how many steps before did nothing and do not
    count. `shrinks` times lr is what AdamW takes off a weight.
    """
    each = [(b, 1 - b, math.log(b) if b > 0 else -math.inf) for b in betas]
    options = (numbers, skip, *each[0], *each[1], eps, decay, shrinks)
    return _walk("adam_told", (weight, grad, mean, square), options)


def _walk(kernel: str, arrays: Sequence[Array], options: Sequence[Array | float]) -> bool | None:
    if not flat_arrays(*arrays):
        return None
    weight = arrays[0]
    threads = threads_for(weight)
    grid = min(-(-threads // BLOCK), MOST_BLOCKS)
    launch(_FILE, kernel, threads, (*arrays, weight.size, *options), weight.dtype, grid=grid)
    return True


def flat_arrays(*arrays: Array) -> bool:
    """Return whether all are contiguous, of one size and of one type, float32 or float64."""
    first = arrays[0]
    return first.dtype in (np.float32, np.float64) and all(
        array.flags.c_contiguous and array.dtype == first.dtype and array.size == first.size
        for array in arrays
    )


def threads_for(array: Array) -> int:
    """Return how many threads a walk over `array` can use: one for each 16 bytes."""
    return -(-int(array.nbytes) // 16)
