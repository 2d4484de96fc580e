"""The matrix of a convolution, written out: ``A @ x.ravel() == conv2d(x, W).ravel()``.

    conv_matrix    (K, C/groups, kh, kw), (H, W)  ->  (K*H'*W', C*H*W)

Every row is one output value; its entries are the kernel's weights at the pixels under the window,
and zeros elsewhere. The transposed matrix is `conv_transpose2d`: ``A.T @ y.ravel()``. Nothing here
is used to compute a layer; it is what the layers are checked against, and what a reader can look
at.

Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), section
4.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.backend import Array, to_cpu
from minideconv.backend.dispatch import device_guard
from minideconv.ops import geometry
from minideconv.ops.geometry import IntPair
from minideconv.ops.im2col import im2col

__all__ = ["conv_matrix"]


@device_guard
def conv_matrix(
    weight: Array,
    input_size: tuple[int, int],
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    sparse: bool = False,
) -> Any:
    """Return the matrix A of a convolution of one image: ``(K*H'*W', C*H*W)``.

    Parameters
    ----------
    weight : array, shape (K, C / groups, kh, kw)
        Kernels, as for `conv2d`.
    input_size : (int, int)
        The image's (H, W).
    stride, padding, dilation, groups
        As for `conv2d`.
    sparse : bool
        Return a ``scipy.sparse.csr_array`` (needs SciPy) instead of a dense NumPy array.

    Returns
    -------
    array or scipy.sparse.csr_array, shape (K*H'*W', C*H*W)
        In the weight's dtype, on the CPU.

    Raises
    ------
    ValueError, TypeError
        If the weight or the geometry do not fit.
    ImportError
        If ``sparse=True`` and SciPy is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> conv_matrix(np.array([1.0, 2.0]).reshape(1, 1, 1, 2), (1, 3))
    array([[1., 2., 0.],
           [0., 1., 2.]])
    """
    weight = to_cpu(weight)
    if weight.ndim != 4:
        raise ValueError(
            f"conv_matrix: weight has shape {weight.shape}; it must have 4 axes (out, in, kh, kw)"
        )
    if groups < 1 or weight.shape[0] % groups:
        raise ValueError(
            f"conv_matrix: groups is {groups}; "
            f"it must be a positive divisor of weight.shape[0] = {weight.shape[0]}"
        )
    h, w = geometry.pair(input_size, "input_size", "conv_matrix")
    outputs, per_group, kh, kw = weight.shape
    inputs = per_group * groups

    # Number the pixels from 1: im2col gives those that each tap meets; 0 is the padding.
    numbers = np.arange(1, inputs * h * w + 1).reshape(1, inputs, h, w)
    met = im2col(numbers, (kh, kw), stride, padding, dilation)[0]  # (C*kh*kw, L)
    positions = met.shape[1]
    met = met.reshape(groups, per_group * kh * kw, positions)
    group = np.arange(outputs) // (outputs // groups)  # which input channels an output channel sees

    columns = met[group].transpose(0, 2, 1) - 1  # (K, L, C/G*kh*kw)
    rows = np.arange(outputs * positions).reshape(outputs, positions, 1)
    rows, columns, values = np.broadcast_arrays(rows, columns, weight.reshape(outputs, 1, -1))
    inside = columns >= 0  # taps in the padding multiply zeros: they have no column
    shape = (outputs * positions, inputs * h * w)
    if sparse:
        try:
            from scipy.sparse import csr_array
        except ImportError:
            raise ImportError(
                "conv_matrix: sparse=True needs SciPy; pip install scipy, or use sparse=False"
            ) from None
        return csr_array((values[inside], (rows[inside], columns[inside])), shape=shape)
    matrix = np.zeros(shape, weight.dtype)
    matrix[rows[inside], columns[inside]] = values[inside]
    return matrix
