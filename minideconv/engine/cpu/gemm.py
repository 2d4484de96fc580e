"""Convolutions that are plain products of matrices: no patch matrix has to be made.

    1x1 kernels, stride 1, no padding          x as (N H W, C)       W as (C, K)
    kernels as large as the image (fc6)        x as (N, kh kw C)     W as (kh kw C, K)

In these two cases the window stops at every pixel, or at one place only, and channels last in
memory already are the patch matrix X of im2col. With W (E, K), as it is stored in memory:

    Y = X W + b        dX = dY W^T        dW = X^T dY

The transposed convolution from a 1x1 map to a kh x kw map (fc6's twin) is the second of these.

Two special cases have compiled kernels: a few rows of X with a large W are bound by memory, and
`compiled.gemm` lets W go by once for all rows; many rows with a small W are a direct convolution,
whose tiles reach the peak where BLAS, made for larger matrices, does not. All else is NumPy's
product, cut into fixed parts for the workers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from minideconv.backend.algorithms import compiled
from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu.bias import add_bias
from minideconv.engine.cpu.memory import empty
from minideconv.engine.cpu.parts import slices
from minideconv.ops.im2col import Window

__all__ = ["fits", "forward", "frozen", "input_grad", "weight_grad"]

_PARTS = 8  # fixed, so that results do not depend on the number of threads
_SMALL = 1e8  # floating point operations that are not worth handing to a worker
_FEW = 16  # rows: below, BLAS is faster with the large matrix on the left
_BLOCK = 64  # rows of dW that stay in the cache while a few rows of X are multiplied
_THIN = 1 << 13  # weights: up to here, the direct kernels are faster than BLAS
_PACKED = 1 << 18  # and to here, if they need not be packed first


def fits(window: Window, c: int, k: int, dtype: Any) -> bool:
    """Return whether this convolution is a plain product."""
    if window.padding != (0, 0):
        return False
    return _is_pixelwise(window) or (window.out == (1, 1) and window.kernel == window.size)


def _is_pixelwise(window: Window) -> bool:
    return window.kernel == (1, 1) and window.stride == (1, 1) and window.size == window.out


def _kernels(rows: np.ndarray, e: int, k: int, window: Window) -> tuple[Any, Window | None]:
    """Return the compiled module for X (rows, E), W (E, K), and the window it needs, if any."""
    if not compiled():
        return None, None
    from minideconv.engine.cpu.compiled import direct, gemm

    if gemm.fits(len(rows), e, k, rows.dtype):
        return gemm, None
    thin = e * k <= _THIN and len(rows) > _FEW and _is_pixelwise(window)
    if thin and direct.fits(window, e, k, rows.dtype):
        return direct, _grid(len(rows))
    return None, None


@lru_cache(256)
def _grid(rows: int) -> Window:
    """Lay the rows of X out as one image, of a width that gives the direct kernels good tiles."""
    width = next(w for w in range(min(rows, 256), 0, -1) if rows % w == 0)
    size = (rows // width, width)
    return Window(size, (1, 1), (1, 1), (0, 0), (1, 1), size)


# ---------------------------------------------------------------------------------------------
# The three passes


def forward(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window) -> np.ndarray:
    """(N, H, W, C) * (kh, kw, C, K) -> (N, H', W', K)."""
    kh, kw, c, k = w.shape
    e = kh * kw * c
    rows, matrix = x.reshape(-1, e), w.reshape(e, k)
    kernels, grid = _kernels(rows, e, k, window)
    if grid is not None:
        y = kernels.forward(rows.reshape(1, *grid.size, e), w, bias, grid)
    else:
        y = kernels.forward(rows, matrix) if kernels else _product(rows, matrix)
        add_bias(y, bias)
    return y.reshape(len(x), *window.out, k)


def input_grad(
    dy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window
) -> np.ndarray:
    """(N, H', W', K) * (kh, kw, C, K) -> (N, H, W, C)."""
    kh, kw, c, k = w.shape
    e = kh * kw * c
    rows, matrix = dy.reshape(-1, k), w.reshape(e, k)
    kernels, grid = _kernels(rows, e, k, window)
    if grid is not None:
        dx = kernels.input_grad(rows.reshape(1, *grid.size, k), w, bias, grid)
    else:
        dx = kernels.input_grad(rows, matrix) if kernels else _product(rows, matrix.T)
        add_bias(dx.reshape(-1, c), bias)
    return dx.reshape(len(dy), *window.size, c)


def frozen(
    w: np.ndarray,
    bias: np.ndarray | None,
    window: Window,
    n: int,
    transposed: bool = False,
    low: float = -np.inf,
) -> Any:
    """Return a `Frozen` for weights that do not change, or None where a product is as quick."""
    c, k = w.shape[2:]
    rows = n * window.size[0] * window.size[1]
    few = rows <= _FEW or c * k > _PACKED
    if few or w.dtype != np.float32 or not (compiled() and _is_pixelwise(window)):
        return None
    from minideconv.engine.cpu.compiled import direct

    return direct.frozen(w, bias, _grid(rows), 1, transposed, low)


def weight_grad(x: np.ndarray, dy: np.ndarray, window: Window) -> np.ndarray:
    """(N, H, W, C), (N, H', W', K) -> (kh, kw, C, K)."""
    (kh, kw), c, k = window.kernel, x.shape[3], dy.shape[3]
    e = kh * kw * c
    rows, others = x.reshape(-1, e), dy.reshape(-1, k)
    kernels, grid = _kernels(rows, e, k, window)
    if grid is not None:
        size = grid.size
        dw = kernels.weight_grad(rows.reshape(1, *size, e), others.reshape(1, *size, k), grid)
    else:
        dw = (kernels.weight_grad if kernels else _weight_grad)(rows, others)
    return dw.reshape(kh, kw, c, k)


# ---------------------------------------------------------------------------------------------
# The same with NumPy's products


def _in_parts(work: Callable[[slice], Any], size: int, operations: float) -> list[Any]:
    """Do the work on all of `size` items, in fixed parts if it is worth it."""
    return map_ordered(work, slices(size, 1 if operations < _SMALL else _PARTS))


def _row_times(row: np.ndarray, w: np.ndarray, out: np.ndarray, columns: slice) -> None:
    np.matmul(row, w[:, columns], out=out[columns])


def _product(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(M, E) @ (E, K), cut into rows, or into columns if the rows are few."""
    (m, e), k = x.shape, w.shape[1]
    y, operations = empty((m, k), x.dtype), 2.0 * m * e * k
    if m > _FEW:
        _in_parts(lambda i: np.matmul(x[i], w, out=y[i]), m, operations)
    elif m > 2 and w.flags.c_contiguous:
        _in_parts(lambda j: np.matmul(x, w[:, j], out=y[:, j]), k, operations)
    elif m > 2:  # a transposed matrix, which BLAS has rather on the left
        turned = empty((k, m), x.dtype)
        _in_parts(lambda j: np.matmul(w.T[j], x.T, out=turned[j]), k, operations)
        y[:] = turned.T
    else:  # row by row, which BLAS does at the speed of memory
        for row, result in zip(x, y, strict=True):
            _in_parts(partial(_row_times, row, w, result), k, 2.0 * e * k)
    return y


def _weight_grad(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """(M, E).T @ (M, K), cut into rows of the result, or into sums over pixels if it is small."""
    (m, e), k = x.shape, dy.shape[1]
    if m > e:
        products = _in_parts(lambda i: x[i].T @ dy[i], m, 2.0 * m * e * k)
        total = empty((e, k), x.dtype)
        np.sum(products, axis=0, out=total)
        return total
    dw = empty((e, k), x.dtype)

    def rows(part: slice) -> None:
        step = _BLOCK if m <= _FEW else part.stop - part.start
        for start in range(part.start, part.stop, step):
            block = slice(start, min(start + step, part.stop))
            np.matmul(x[:, block].T, dy, out=dw[block])

    _in_parts(rows, e, 2.0 * m * e * k)
    return dw
