"""The table of the GPU's convolutions: which algorithm computes which one, and why.

=============  =================================================  ==================================
algorithm      for                                                because
=============  =================================================  ==================================
implicit_gemm  tf32, bf16, fp16; one group; few output channels   there the patch matrix costs more
                                                                  than the product
phases_gemm    of the rest, gradients of a convolution with a     the patch matrices of the phases
               stride, and so transposed convolutions with one:   are smaller than that of all taps
               where `traffic` counts fewer bytes (never timed)
im2col_gemm    the rest                                           products of large matrices are
                                                                  what cuBLAS does best
=============  =================================================  ==================================

How few is arithmetic. A patch matrix of `b` bytes a number is written and read, at 4.3 TB/s on an
H200; each of its numbers takes part in 2 operations for every output channel, at 404 TFLOP/s in
tf32 (b = 4), 790 in bf16 (b = 2) and 46 in fp32:

    columns / product  =  (2 b / 4.3e12) / (2 outputs / rate)  =  372 / outputs    tf32 and bf16
                                                                   44 / outputs    fp32

In fp32 it is nearly free. On tensor cores it takes 5.8 times as long as the product of 64 output
channels, and 0.7 times that of 512. Our own product has no patch matrix and reaches the part
`RATE` of cuBLAS's speed, so it wins where ``1 / RATE < 1 + 372 / outputs``: for 64, 128 and 256
output channels; of weight gradients in tf32, for 64. Tiles that are filled only in part lower its
rate.

`RATE` was fitted to DeconvNet's layers on an H200 (``python -m benchmarks.gpu_choices``). On other
GPUs `set_benchmark` measures instead: at its first call every shape is computed by all algorithms
that can, and the fastest is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy as np

from minideconv.backend import Array
from minideconv.engine.cpu import gemm
from minideconv.engine.cuda import im2col_gemm, implicit_gemm, phases_gemm, traffic
from minideconv.engine.cuda.benchmark import fastest, get_benchmark
from minideconv.engine.cuda.capability import capability
from minideconv.engine.cuda.problem import ConvProblem

__all__ = [
    "RATE",
    "RATE_WEIGHT_TF32",
    "Algorithm",
    "candidates",
    "choices",
    "choose",
    "is_implicit",
]

RATE = 0.45
"""Part of cuBLAS's speed that `implicit_gemm` reaches."""

RATE_WEIGHT_TF32 = 0.24
"""The same for weight gradients in tf32, whose fragments are put together word by word."""

_COLUMNS = 372.0
_BLOCKS = 132  # of 64 x 64 results: with fewer, processors of a large GPU would stand idle


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


def choose(problem: ConvProblem) -> Algorithm | None:
    """Return the algorithm for `problem`; None stands for the reference."""
    algorithms = _algorithms(problem, capability())
    if len(algorithms) > 1 and get_benchmark():
        return fastest(problem, algorithms)
    return algorithms[0] if algorithms else None


def candidates(problem: ConvProblem) -> tuple[Algorithm, ...]:
    """Return all algorithms for `problem`, the one that the table chooses first."""
    q = problem
    if not q.n * q.c * q.k or q.dtype not in (np.float32, np.float64):
        return ()
    patched = _patched(problem)
    if not implicit_gemm.fits(problem):
        return patched
    tile, *others = implicit_gemm.tiles_for(problem)
    if is_implicit(problem):
        return (_implicit(tile), *patched, *map(_implicit, others))
    return (*patched, _implicit(tile), *map(_implicit, others))


def choices() -> list[tuple[ConvProblem, str]]:
    """Return the problems met so far, and the name of the algorithm that is chosen for each now."""
    return [(problem, getattr(choose(problem), "name", "reference")) for problem in list(_asked)]


# ---------------------------------------------------------------------------------------------
# The rows


def is_implicit(problem: ConvProblem) -> bool:
    """Return whether the product without a patch matrix is taken to be faster."""
    q = problem
    if gemm.fits(q.window, q.c, q.k, q.dtype):
        return False  # the image is its own patch matrix
    summed, outputs = (q.k, q.c) if q.operation == "input_grad" else (q.c, q.k)
    filled = _filled(outputs, 64)
    if q.operation != "weight_grad":
        pixels = q.n * prod(q.window.size if q.operation == "input_grad" else q.window.out)
        if pixels * outputs < _BLOCKS * 64 * 64:
            return False  # cuBLAS cuts the sum of a small result into parts
        filled *= _filled(summed, 16 if q.precision == "tf32" else 32)
    # im2col_gemm gathers the columns of an input_grad from whichever of dx and dy is narrower
    sharing = max(q.c, q.k) if q.operation == "input_grad" else q.k
    is_slow = (q.operation, q.precision) == ("weight_grad", "tf32")
    rate = filled * (RATE_WEIGHT_TF32 if is_slow else RATE)
    return 1 / rate < 1 + _COLUMNS / sharing


def _patched(problem: ConvProblem) -> tuple[Algorithm, ...]:
    """Return the algorithms that write patch matrices, the one that moves fewer bytes first."""
    if problem.operation == "forward" or not phases_gemm.fits(problem.window):
        return (_IM2COL_GEMM,)
    if traffic.by_phases(problem) < traffic.by_columns(problem):
        return (_PHASES_GEMM, _IM2COL_GEMM)
    return (_IM2COL_GEMM, _PHASES_GEMM)


def _filled(channels: int, width: int) -> float:
    """Return which part of the multiplications is not by zeros, in pieces `width` wide."""
    return channels / (-(-channels // width) * width)


def _of(module: Any, name: str, **options: Any) -> Algorithm:
    functions = (module.forward, module.input_grad, module.weight_grad)
    return Algorithm(name, *(partial(function, **options) for function in functions))


_IM2COL_GEMM = _of(im2col_gemm, "im2col_gemm")
_PHASES_GEMM = Algorithm(
    *("phases_gemm", im2col_gemm.forward, phases_gemm.input_grad, phases_gemm.weight_grad)
)  # forward has no phases


def _implicit(tile: str) -> Algorithm:
    return _of(implicit_gemm, f"implicit_gemm {tile}", tile=tile)


_asked: dict[ConvProblem, None] = {}


@lru_cache(maxsize=4096)  # a network has the same problems at every step
def _algorithms(problem: ConvProblem, capable: int) -> tuple[Algorithm, ...]:
    """Return `candidates`, which depend on the GPU's capability too."""
    _asked[problem] = None
    return candidates(problem)
