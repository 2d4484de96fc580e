"""The processor's multiply-add rate: twelve independent chains in registers, and nothing else.

Each result is needed by the next link of its chain, four cycles later; two units that start one
operation a cycle are busy with eight chains.

This module imports numba; import it where compiled kernels can be used.
"""

from __future__ import annotations

import numpy as np

from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.vectors import LANES, fma, load, splat, store

__all__ = ["FLOP_PER_TURN", "multiply_add"]

CHAINS = 12
FLOP_PER_TURN = 2 * LANES * CHAINS


def multiply_add(turns: int) -> None:
    """Compute ``FLOP_PER_TURN * turns`` operations."""
    _chains(np.arange(CHAINS * LANES, dtype=np.float32), turns)


@kernel
def _chains(a: np.ndarray, turns: int) -> None:
    x, y = splat(0.999), splat(0.001)
    v0, v1, v2, v3 = load(a, 0), load(a, 16), load(a, 32), load(a, 48)
    v4, v5, v6, v7 = load(a, 64), load(a, 80), load(a, 96), load(a, 112)
    v8, v9, v10, v11 = load(a, 128), load(a, 144), load(a, 160), load(a, 176)
    for _ in range(turns):
        v0, v1, v2, v3 = fma(v0, x, y), fma(v1, x, y), fma(v2, x, y), fma(v3, x, y)
        v4, v5, v6, v7 = fma(v4, x, y), fma(v5, x, y), fma(v6, x, y), fma(v7, x, y)
        v8, v9, v10, v11 = fma(v8, x, y), fma(v9, x, y), fma(v10, x, y), fma(v11, x, y)
    store(a, 0, v0 + v1 + v2 + v3 + v4 + v5 + v6 + v7 + v8 + v9 + v10 + v11)
