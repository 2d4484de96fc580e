"""A step of SGD or Adam on a GPU: one launch for each array of weights.

With flat parameters (`optim.flat`) that is one launch for each group of parameters, and the step of
DeconvNet's 252 million weights takes the time in which 20 bytes of each go through memory. The
kernels are in `kernels/optimizers.cu`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minideconv.backend import Array
from minideconv.engine.cpu.optimizers import adam_numbers
from minideconv.engine.cuda.module import BLOCK, launch

__all__ = ["adam", "blocks_for", "flat_arrays", "sgd"]

MOST_BLOCKS = 1 << 12
"""Blocks in a grid: more than any GPU has at a time, few enough that what each thread computes
before its first element counts for nothing."""

_FILE = "optimizers.cu"


def sgd(
    weight: Array,
    grad: Array,
    velocity: Array | None,
    numbers: tuple[float, float] | Array,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
    skip: Array | None = None,
) -> bool | None:
    """`optim.sgd`: change `weight` and `velocity` in place and return True.

    None if they are not for this. With `skip` the numbers are read from memory, too, and nothing is
    done if ``skip[0]``.
    """
    arrays = (weight, grad, weight if velocity is None else velocity)
    options = (momentum, weight_decay, int(nesterov))
    if skip is None:
        return _walk("sgd", arrays, (*numbers, *options))
    return _walk("sgd_on_device", arrays, (numbers, skip, *options))


def adam(
    weight: Array,
    grad: Array,
    mean: Array,
    square: Array,
    numbers: tuple[float, float] | Array,
    betas: Sequence[float],
    eps: float,
    weight_decay: float,
    decoupled: bool,
    skip: Array | None = None,
) -> bool | None:
    """`optim.adam`: change `weight`, `mean` and `square` in place and return True.

    None if they are not for this. With `skip` the numbers are read from memory, too; ``skip[0]``
    is not 0 if nothing is to be done, ``skip[1]`` the number of steps before that did nothing.
    """
    arrays = (weight, grad, mean, square)
    if skip is None:
        rate, b1, b2, least, decay, shrink = adam_numbers(
            (numbers[0], numbers[1]), betas, eps, weight_decay, decoupled
        )
        return _walk("adam", arrays, (rate, least, b1, 1 - b1, b2, 1 - b2, decay, shrink))
    each = [(b, 1 - b, math.log(b) if b > 0 else -math.inf) for b in betas]
    decay, shrinks = (0.0, weight_decay) if decoupled else (weight_decay, 0.0)
    options = (numbers, skip, *each[0], *each[1], eps, decay, shrinks)
    return _walk("adam_on_device", arrays, options)


def _walk(kernel: str, arrays: Sequence[Array], options: Sequence[Any]) -> bool | None:
    if not flat_arrays(*arrays):
        return None
    weight = arrays[0]
    arguments = (*arrays, weight.size, *options)
    launch(_FILE, kernel, weight.size, arguments, weight.dtype, grid=blocks_for(weight))
    return True


def flat_arrays(*arrays: Array) -> bool:
    """Return whether all are contiguous, of one size and of one type, float32 or float64."""
    first = arrays[0]
    return first.dtype in (np.float32, np.float64) and all(
        array.flags.c_contiguous and array.dtype == first.dtype and array.size == first.size
        for array in arrays
    )


def blocks_for(array: Array, most: int = MOST_BLOCKS) -> int:
    """Return in how many blocks a kernel reads `array`: one thread for each 16 bytes."""
    return min(-(-int(array.nbytes) // (16 * BLOCK)), most)
