"""What an algorithm is chosen for: `ConvProblem`, an operation with all its sizes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minideconv.ops.im2col import Window

__all__ = ["ConvProblem"]


class ConvProblem(NamedTuple):
    """A convolution of `n` images of `c` channels to `k`, or one of its two gradients."""

    operation: str
    """"forward", "input_grad" or "weight_grad"."""
    window: Window
    n: int
    c: int
    k: int
    groups: int
    dtype: np.dtype[Any]
    precision: str
    """One of `minideconv.backend.precisions`."""

    def __str__(self) -> str:
        window = self.window
        names = ("kernel", "stride", "padding", "dilation")
        geometry = (f"{name} {_pair(getattr(window, name))}" for name in names)
        return (
            f"{self.operation} {self.dtype} {self.precision} n {self.n} "
            f"c {self.c} {_pair(window.size)} k {self.k} {_pair(window.out)} "
            f"{' '.join(geometry)} groups {self.groups}"
        )


def _pair(pair: tuple[int, int]) -> str:
    return f"{pair[0]}x{pair[1]}"
