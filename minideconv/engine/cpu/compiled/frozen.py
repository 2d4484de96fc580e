"""`Frozen`: a convolution whose weights no longer change, with all that can be done beforehand.

A training step has new weights every time, so its kernels bring them into their own order at every
call, and take scratch memory by name. A network that is only used has the same weights, the same
sizes and the same arrays at every call: the weights are packed once, and what is left of a call is
one function with all of its arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["ANY", "Frozen"]

ANY = float("-inf")
"""The least value of a result that is not rectified."""

Call = Callable[[], object]


class Frozen(NamedTuple):
    """A convolution with fixed weights, of a fixed number of images of one size.

    Attributes
    ----------
    scratch : int
        Numbers of float32 that a call needs for itself.
    bind : callable
        ``bind(x, y, scratch)`` returns a function without arguments that computes y (N, H', W', K)
        from x (N, H, W, C), both flat.
    """

    scratch: int
    bind: Callable[[np.ndarray, np.ndarray, np.ndarray], Call]
