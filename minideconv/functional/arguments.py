"""What the functions of Tensors share: types, and how a Tensor becomes an array."""

from __future__ import annotations

from typing import Any

from minideconv.autograd import Tensor
from minideconv.backend import Array

__all__ = ["Grads", "Needs", "data_of"]


Needs = tuple[bool, ...]
"""For each input, whether its gradient is wanted."""

Grads = tuple[Array | None, ...]
"""For each input its gradient, or None."""


def data_of(tensor: Tensor | Array | None) -> Any:
    """Return the array of a Tensor; anything else as it is."""
    return tensor.data if isinstance(tensor, Tensor) else tensor
