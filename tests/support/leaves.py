"""Tensors for tests of the tape: leaves of small integers, and their gradients as NumPy arrays."""

from __future__ import annotations

import numpy as np

from minideconv.autograd import Tensor
from minideconv.backend import Array
from minideconv.testing import values


def leaf(shape: tuple[int, ...], seed: int = 0, dtype: type = np.float64) -> Tensor:
    """Return a leaf that requires a gradient."""
    return Tensor(values(shape, seed, "integer", dtype=dtype), requires_grad=True)


def grad_of(tensor: Tensor) -> Array:
    """Return the gradient that a tensor has received."""
    assert tensor.grad is not None
    return tensor.grad.numpy()
