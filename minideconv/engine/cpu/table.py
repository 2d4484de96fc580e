"""The table: which algorithm computes which convolution, and why.

Rows are tried from the top, the first whose condition holds is used; where none does, the reference
in `ops` carries on. "compiled" means that numba is there; only float32 has compiled kernels. The
measurements behind the limits are in the documentation, page "Which algorithm where".

================  ============  ================================  ==================================
algorithm         used under    for                               because
================  ============  ================================  ==================================
gemm              exact, fast   1x1 kernels; kernels as large     the image is its own patch matrix:
                                as the image (fc6 and its twin)   one product and no copy
winograd          fast          3x3, stride 1, float32, many      4 (m = 2) or 2.25 (m = 4) products
                                channels (`_tile_size`)           for a pixel in place of 9
winograd, dilated fast          3x3 with gaps, stride 1, where    the phases of both images are a
                                its phases are large enough       batch of convolutions without gaps
winograd, pieces  fast          4x4 and larger, stride 1, many    a sum of 3x3 pieces: 9 products a
                                channels (`pieces.pays`)          pixel for a 5x5 kernel, not 25
phases            exact, fast   input gradient (transposed        rows and columns of one remainder
                                convolution) of a stride above 1  are a convolution of stride 1: no
                                float32, compiled                 zeros between, nothing added twice
subpixel          exact, fast   the same without kernels, or      the pixels of one stride have the
                                in float64                        same inputs: one product, and no
                                                                  overlapping columns to add
stamps            exact, fast   input gradient of 1 to 3          vectors run along rows of pixels,
                                channels, from 32 or more         not along the few channels
direct            exact, fast   float32, compiled                 no patch matrix; the sums stay in
                                                                  registers
im2col_blocked    exact, fast   the rest                          the reference in the engine's
                                                                  layout, in blocks that stay in the
                                                                  cache
================  ============  ================================  ==================================
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np

from minideconv.backend.algorithms import compiled, get_algorithm
from minideconv.engine.cpu import (
    dilated,
    gemm,
    im2col_blocked,
    pieces,
    stamps,
    subpixel,
    winograd,
)
from minideconv.engine.cpu.algorithm import Algorithm
from minideconv.ops.im2col import Window

__all__ = ["Algorithm", "choose"]


def choose(
    operation: str, window: Window, n: int, c: int, k: int, dtype: np.dtype
) -> Algorithm | None:
    """Return the table's answer for "forward", "input_grad" or "weight_grad".

    The convolution takes `n` images of `c` channels to `k`; None stands for the reference.
    """
    return _choose(operation, window, n, c, k, np.dtype(dtype), get_algorithm(), compiled())


@lru_cache(maxsize=4096)  # a network has the same layers at every step
def _choose(
    operation: str,
    window: Window,
    n: int,
    c: int,
    k: int,
    dtype: np.dtype,
    algorithm: str,
    is_compiled: bool,
) -> Algorithm | None:
    if algorithm == "reference" or not n * c * k or dtype.itemsize not in (4, 8):
        return None
    single = dtype == np.float32
    if gemm.fits(window, c, k, dtype):
        return _row("gemm", gemm)
    if algorithm == "fast" and single and winograd.fits(window, c, k, dtype):
        m = _tile_size(window, n, c, k, is_compiled)
        if m and is_compiled:
            from minideconv.engine.cpu.compiled import winograd as kernels

            return _row("winograd 4x4", kernels)
        if m:
            return _row(f"winograd {m}x{m}", winograd, m=m)
    if algorithm == "fast" and single:
        found = _as_3x3(operation, window, n, c, k, dtype, algorithm, is_compiled)
        if found is not None and found.name.startswith("winograd"):
            return found
    if operation == "input_grad" and window.stride != (1, 1):
        # No longer a convolution of dy with turned kernels.
        if is_compiled and single and window.dilation == (1, 1):
            from minideconv.engine.cpu.compiled import phases

            return _row("phases", phases)
        return _row("subpixel", subpixel) if subpixel.fits(window, c, k, dtype) else None
    if operation == "input_grad" and stamps.fits(window, c, k, dtype):
        return _row("stamps", stamps)
    if is_compiled and single:
        from minideconv.engine.cpu.compiled import direct

        return _row("direct", direct)
    return _row("im2col_blocked", im2col_blocked)


def _as_3x3(
    operation: str, window: Window, n: int, c: int, k: int, *chosen_by: Any
) -> Algorithm | None:
    """Return the algorithm for an equal convolution of 3x3 without gaps, if there is one."""
    if dilated.fits(window, c, k, chosen_by[0]):
        images = n * window.dilation[0] * window.dilation[1]
        by = _choose(operation, dilated.dense(window), images, c, k, *chosen_by)
        return by and _row(f"{by.name}, dilated", dilated, by=by)
    if pieces.fits(window, c, k, chosen_by[0]) and pieces.pays(window, c, k):
        more, others = min(c, k) * pieces.count(window), max(c, k)
        by = _choose(operation, pieces.of_pieces(window), n, more, others, *chosen_by)
        return by and _row(f"{by.name}, pieces", pieces, by=by)
    return None


def _row(name: str, module: Any, **options: Any) -> Algorithm:
    names = ("forward", "input_grad", "weight_grad", "frozen")
    functions = [getattr(module, each, None) for each in names]
    return Algorithm(name, *(each and partial(each, **options) for each in functions))


def _tile_size(window: Window, n: int, c: int, k: int, is_compiled: bool) -> int:
    """Return Winograd's m, 4 or 2, or 0 where another algorithm is faster.

    Compiled it wins from 16 channels on, as soon as a map holds one tile. NumPy's transforms cost
    more: they need more channels to pay, and m = 2, with its smaller transformed weights, where
    there are few tiles to share them.
    """
    h, w = window.out
    if min(c, k) < (16 if is_compiled else 32) or min(h, w) < 4:
        return 0
    if is_compiled:
        return 4
    tiles = n * -(-h // 4) * -(-w // 4)
    return 2 if min(h, w) < 8 or (tiles < 64 and c * k >= 256 * 256) else 4
