"""What the functions of Tensors share: types, and how a Tensor becomes an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.autograd import Tensor
from minideconv.backend import Array, get_xp

__all__ = ["OPTIONAL", "Grads", "Needs", "data_of", "no_tensor", "unchanging", "widened"]


Needs = tuple[bool, ...]
"""For each input, whether its gradient is wanted."""

Grads = tuple[Array | None, ...]
"""For each input its gradient, or None."""


OPTIONAL = (Tensor, type(None))
"""What an argument may be that can be left out."""


def no_tensor(op: str, **arguments: Any) -> TypeError:
    """Return the error for the one of the arguments that is no Tensor: most often an array."""
    wrong = [(name, value) for name, value in arguments.items() if not isinstance(value, Tensor)]
    name, value = next((each for each in wrong if each[1] is not None), wrong[0])
    what = f"a {type(value).__name__}"
    if hasattr(value, "dtype"):
        what = f"an array of shape {getattr(value, 'shape', ())}"
    return TypeError(f"{op}: {name} is {what}; it must be a Tensor: Tensor({name})")


def data_of(tensor: Tensor | Array | None) -> Any:
    """Return the array of a Tensor; anything else as it is."""
    return tensor.data if isinstance(tensor, Tensor) else tensor


def widened(x: Tensor) -> Tensor:
    """Return `x` in the type in which sums are made: float32 for float16, which ends at 65504."""
    return x.astype(np.float32) if x.dtype.char == "e" else x


def unchanging(given: Array | Tensor, recorded: bool) -> Array:
    """Return an array as a backward needs it: a copy, since the program may change what it gave.

    The array of a tensor is not copied, since the tape notices when the tensor is changed.
    """
    if isinstance(given, Tensor):
        return given.data
    if type(given) is np.ndarray:
        return given.copy() if recorded else given
    if get_xp(given) is not np:
        return given
    return np.array(given) if recorded else np.asarray(given)
