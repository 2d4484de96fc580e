"""Products in the chosen precision: what becomes of their factors, and the bias behind them.

    out = a b + beta out        a and b rounded as in `minideconv.backend.precisions`

=========  ==================  ==========================================
precision  factors in memory   who rounds them
=========  ==================  ==========================================
fp32       float32             not rounded
tf32       float32             cuBLAS, on their way into the tensor cores
bf16       16 bits (uint16)    `rounded`, or the kernel that makes them
fp16       16 bits (float16)   `rounded`, or the kernel that makes them
=========  ==================  ==========================================

float64 stays float64. Results are in the type of the arrays, never in 16 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.backend.precisions import get_precision
from minideconv.engine.cuda.blas import gemm
from minideconv.engine.cuda.module import address, launch

__all__ = [
    "Factors",
    "add_bias",
    "bits",
    "by_group",
    "factors",
    "multiply",
    "rounded",
    "unrounded",
    "vector",
]

_FILE = "products.cu"
_TRANSFER = 16  # bytes that a thread reads or writes at once


@dataclass(frozen=True, slots=True)
class Factors:
    """The layout in memory of a product's factors; `macros` are for a kernel that makes them."""

    dtype: np.dtype[Any]
    tf32: bool = False
    macros: tuple[str, ...] = ()

    def defines(self, size: int) -> tuple[str, ...]:
        """Return the macros of a kernel whose threads move `size` neighbours at once."""
        return (*self.macros, f"VECTOR={size}")


def factors(dtype: Any) -> Factors:
    """Return how arrays of `dtype`, float32 or float64, are multiplied in the chosen precision."""
    return _factors(np.dtype(dtype), get_precision())


def unrounded(dtype: Any) -> Factors:
    """Return how arrays of `dtype` are multiplied, or just moved, as they are."""
    return _factors(np.dtype(dtype), "fp32")


@cache
def _factors(dtype: np.dtype[Any], precision: str) -> Factors:
    if dtype == np.float64:
        return Factors(dtype, macros=("FACTOR=double",))
    if precision == "bf16":
        return Factors(np.dtype(np.uint16), macros=("FACTOR=u16", "ROUND=to_bfloat16"))
    if precision == "fp16":
        return Factors(np.dtype(np.float16), macros=("FACTOR=u16", "ROUND=to_half"))
    return Factors(dtype, precision == "tf32", ("FACTOR=float",))


def vector(channels: int, kind: Factors, *arrays: Array) -> int:
    """Return how many neighbours a thread may move at once.

    They fill a transfer of one of the types in play, divide the `channels` that are neighbours, and
    begin where a transfer may.
    """
    sizes = {_TRANSFER // array.itemsize for array in arrays} | {_TRANSFER // kind.dtype.itemsize}
    for size in sorted(sizes, reverse=True):
        starts = (address(array) % min(size * array.itemsize, _TRANSFER) for array in arrays)
        if channels % size == 0 and not any(starts):
            return size
    return 1


def bits(array: Array) -> Array:
    """Return 16-bit factors as the kernels take them: as uint16, whatever they hold."""
    return array.view(np.uint16) if array.itemsize == 2 else array


def rounded(array: Array, kind: Factors) -> Array:
    """Return a contiguous array as factors: itself, or rounded to 16 bits."""
    if array.dtype == kind.dtype:
        return array
    result: Array = get_xp(array).empty(array.shape, kind.dtype)
    size = vector(array.size, kind, array)
    count, arguments = array.size // size, (array, bits(result), array.size)
    launch(_FILE, "round_factors", count, arguments, array.dtype, defines=kind.defines(size))
    return result


def by_group(rows: Array, groups: int) -> Array:
    """(positions, groups ...) -> (groups, positions, ...), a view: a batch of matrices."""
    return rows.reshape(len(rows), groups, -1).transpose(1, 0, 2)


def multiply(a: Array, b: Array, out: Array, kind: Factors, beta: float = 0.0) -> None:
    """Write ``a @ b + beta out`` into `out`; see `blas.gemm` for legal strides."""
    gemm(a, b, out, beta=beta, tf32=kind.tf32)


def add_bias(y: Array, bias: Array | None) -> None:
    """Add `bias` (K,), if there is one, to a contiguous array (..., K), in place."""
    if bias is None:
        return
    k, kind = len(bias), unrounded(y.dtype)
    size = vector(k, kind, y)
    count, arguments = y.size // size, (y, bias, y.size // k, k)
    launch(_FILE, "add_bias", count, arguments, y.dtype, defines=kind.defines(size))
