"""The table of the GPU's convolutions: which algorithm computes which one, and why.

============  ==================================================  =================================
algorithm     for                                                 because
============  ==================================================  =================================
im2col_gemm   any geometry, groups and precision                  products of large matrices are
                                                                  what cuBLAS does best
============  ==================================================  =================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from minideconv.backend import Array
from minideconv.engine.cuda import im2col_gemm
from minideconv.ops.im2col import Window

__all__ = ["Algorithm", "choose"]


@dataclass(frozen=True)
class Algorithm:
    """One way to compute a convolution and its two gradients; arrays are channels last.

    ``forward(x, w, bias, window, groups)``, ``input_grad(dy, w, bias, window, groups)`` and
    ``weight_grad(x, dy, window, groups)``, with w as (kh, kw, C/groups, K), contiguous.
    """

    name: str
    forward: Callable[..., Array]
    input_grad: Callable[..., Array]
    weight_grad: Callable[..., Array]


def _of(module: Any) -> Algorithm:
    name = module.__name__.rpartition(".")[2]
    return Algorithm(name, module.forward, module.input_grad, module.weight_grad)


_IM2COL_GEMM = _of(im2col_gemm)


@lru_cache(maxsize=4096)  # a network asks the same questions at every step
def choose(
    operation: str,
    window: Window,
    n: int,
    c: int,
    k: int,
    groups: int,
    dtype: np.dtype[Any],
    precision: str,
) -> Algorithm | None:
    """Return the algorithm for "forward", "input_grad" or "weight_grad"; None: the reference.

    The convolution takes `n` images of `c` channels to `k`, in `groups`, and `precision` is that of
    `minideconv.precisions`.
    """
    if not n * c * k or dtype not in (np.float32, np.float64):
        return None
    return _IM2COL_GEMM
