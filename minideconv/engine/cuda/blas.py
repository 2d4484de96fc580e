"""Matrix products by cuBLAS: `gemm`, for batches, for any two orders, in any precision.

    C[i] = alpha A[i] B[i] + beta C[i]        A (M, K), B (K, N), C (M, N)

CuPy has ``matmul``, but not what a convolution needs: its batched products have no TF32 and no
bfloat16, float16 goes through float32, and no product can be recorded into a CUDA graph. So this
file calls cuBLAS itself, with the one function that does all of it,
``cublasGemmStridedBatchedEx``: the i-th matrix of a batch begins a fixed number of elements behind
the one before; if that number is 0 they share it.

cuBLAS counts along columns, NumPy along rows. A row-major C is the column-major C transposed, and
``C^T = B^T A^T``: the operands change places and nothing is copied. A transposed operand is
recognised by its strides, so that a caller writes ``gemm(cols.T, dy, dw)``.
"""

from __future__ import annotations

import ctypes
from functools import cache, partial
from typing import Any

import numpy as np

from minideconv.backend import Array, cupy
from minideconv.backend.dispatch import device_guard
from minideconv.engine.cuda.capability import check_precision
from minideconv.engine.cuda.memory import with_room

__all__ = ["WORKSPACE", "gemm"]

WORKSPACE = 32 << 20
"""Bytes that cuBLAS may use beside its operands: given once, so that a graph can be recorded."""

# cudaDataType_t; an array of uint16 holds bfloat16 numbers, for which NumPy has no type of its own
_TYPES = {"float32": 0, "float64": 1, "float16": 2, "uint16": 14}
# cublasComputeType_t
_FLOAT, _FLOAT_TF32, _DOUBLE = 68, 77, 70
_DEFAULT_ALGORITHM = -1
# cublasStatus_t: what may happen to a user
_STATUS = {3: "CUBLAS_STATUS_ALLOC_FAILED", 15: "CUBLAS_STATUS_NOT_SUPPORTED"}


@device_guard
def gemm(
    a: Any, b: Any, out: Any, *, alpha: float = 1.0, beta: float = 0.0, tf32: bool = False
) -> Array:
    """Write ``alpha a @ b + beta out`` into `out`, on the current stream, and return it.

    Parameters
    ----------
    a, b : arrays (M, K) and (K, N), or batches (G, M, K) and (G, K, N)
        float32, float64, float16, or uint16 that holds bfloat16; both the same. The numbers along
        one of the last two axes must be neighbours; the other axis and the batch may be strided. An
        operand without a batch is shared by all products.
    out : array (M, N) or (G, M, N)
        float32 or the operands' type; neighbours along the last axis.
    tf32 : bool
        Round the factors to 10 bits, for tensor cores; float32 only.

    Raises
    ------
    TypeError, ValueError
        If types, shapes or strides do not fit: a bug in this library.
    UsageError
        If the GPU has no such precision.
    RuntimeError
        If cuBLAS reports an error.
    """
    if a.dtype != b.dtype or out.dtype not in (a.dtype, np.float32):
        raise TypeError(f"gemm: {a.dtype} @ {b.dtype} into {out.dtype}")
    (m, k), (k_b, n) = a.shape[-2:], b.shape[-2:]
    if k != k_b or out.shape[-2:] != (m, n):
        raise ValueError(f"gemm: {a.shape} @ {b.shape} does not fit into {out.shape}")
    count = out.shape[0] if out.ndim == 3 else 1
    if out.size == 0:
        return out
    turned_a, ld_a, step_a = _layout(a, count)
    turned_b, ld_b, step_b = _layout(b, count)
    turned, ld_out, step_out = _layout(out, count)
    if turned:
        raise ValueError(f"gemm: out has strides {out.strides}; its rows must be contiguous")
    number = np.float64 if a.dtype == np.float64 else np.float32
    factors = np.array([alpha, beta], number)  # read before the call returns
    compute = _DOUBLE if number is np.float64 else _FLOAT_TF32 if tf32 else _FLOAT
    device = out.device.id
    if tf32 or a.dtype == np.uint16:
        check_precision("tf32" if tf32 else "bf16", device)
    blas, handle, workspace = with_room(partial(_blas, device))

    def multiply() -> None:
        status = blas.cublasSetStream_v2(handle, cupy().cuda.get_current_stream().ptr)
        # With a stream cuBLAS goes back to a workspace of its own, so ours is given each time.
        status = status or blas.cublasSetWorkspace_v2(handle, workspace.ptr, WORKSPACE)
        status = status or blas.cublasGemmStridedBatchedEx(
            handle,
            *(int(turned_b), int(turned_a), n, m, k),
            factors.ctypes.data,
            *(b.data.ptr, _TYPES[b.dtype.name], ld_b, step_b),
            *(a.data.ptr, _TYPES[a.dtype.name], ld_a, step_a),
            factors.ctypes.data + number().itemsize,
            *(out.data.ptr, _TYPES[out.dtype.name], ld_out, step_out),
            *(count, compute, _DEFAULT_ALGORITHM),
        )
        _check(status, f"for {a.shape} @ {b.shape} of {a.dtype}")

    with_room(multiply)
    return out


def _layout(matrix: Any, count: int) -> tuple[bool, int, int]:
    """Return whether the columns are contiguous instead of the rows, and the steps in elements.

    The steps are those from one row (or column) to the next, and from one matrix to the next.
    """
    size = matrix.dtype.itemsize
    if matrix.ndim == 3 and matrix.shape[0] != count:
        raise ValueError(f"gemm: a batch of {matrix.shape[0]} where {count} are wanted")
    step = matrix.strides[0] // size if matrix.ndim == 3 and count > 1 else 0
    (rows, columns), (down, along) = matrix.shape[-2:], matrix.strides[-2:]
    # an axis of length 1 may have any stride
    if (along == size or columns == 1) and (down >= columns * size or rows == 1):
        return False, max(columns, down // size if rows > 1 else 0), step
    if (down == size or rows == 1) and (along >= rows * size or columns == 1):
        return True, max(rows, along // size if columns > 1 else 0), step
    raise ValueError(f"gemm: a matrix {matrix.shape} has strides {matrix.strides}")


def _check(status: int, where: str) -> None:
    if status:
        raise RuntimeError(f"cuBLAS: {_STATUS.get(status, f'status {status}')} {where}")


@cache
def _blas(device: int) -> tuple[Any, Any, Any]:
    """Return the library, and for `device` a handle on it and a workspace."""
    blas, handle = _library(), ctypes.c_void_p()
    with cupy().cuda.Device(device):
        workspace = cupy().cuda.alloc(WORKSPACE)
        _check(blas.cublasCreate_v2(ctypes.byref(handle)), "when it was started")
    return blas, handle, workspace


@cache
def _library() -> Any:
    """Load the cuBLAS that CuPy uses: from its wheel or from an installed toolkit."""
    from cuda.pathfinder import load_nvidia_dynamic_lib

    blas = ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)
    pointer: Any = ctypes.c_void_p
    operand = [pointer, ctypes.c_int, ctypes.c_int, ctypes.c_longlong]
    first, last = [pointer, *[ctypes.c_int] * 5, pointer], [ctypes.c_int] * 3
    product = [*first, *operand, *operand, pointer, *operand, *last]
    blas.cublasGemmStridedBatchedEx.argtypes = product
    blas.cublasSetStream_v2.argtypes = [pointer, pointer]
    blas.cublasSetWorkspace_v2.argtypes = [pointer, pointer, ctypes.c_size_t]
    return blas
