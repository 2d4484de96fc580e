"""Batch normalisation folded into the convolution in front of it.

In evaluation mode both are linear, channel by channel, so one layer computes what the two do:

    y = scale * (W * x + b - mean) / sqrt(var + eps) + shift
      = (a W) * x + (a (b - mean) + shift),         a = scale / sqrt(var + eps)
"""

from __future__ import annotations

import numpy as np

from minideconv.backend import Array, get_xp

__all__ = ["fold_arrays"]


def fold_arrays(
    weight: Array,
    bias: Array | None,
    mean: Array,
    var: Array,
    scale: Array | None = None,
    shift: Array | None = None,
    eps: float = 1e-5,
    axis: int = 0,
) -> tuple[Array, Array]:
    """Return weight and bias of the layer that is a convolution and a batch normalisation in one.

    Parameters
    ----------
    weight : array
        Of the convolution.
    bias : array (C,), optional
    mean, var : array (C,)
        The running statistics.
    scale, shift : array (C,), optional
        Weight and bias of the normalisation; 1 and 0 if left out.
    eps : float
        Added to the variance.
    axis : int
        That of the output's channels in `weight`: 0, or 1 for a transposed convolution.

    Notes
    -----
    It is computed in float64, and rounded once.
    """
    xp = get_xp(weight)
    slope = 1 / xp.sqrt(var.astype(np.float64) + eps)
    if scale is not None:
        slope = slope * scale
    moved = -mean.astype(np.float64) if bias is None else bias.astype(np.float64) - mean
    moved = slope * moved if shift is None else slope * moved + shift
    shape = [1] * weight.ndim
    shape[axis] = -1
    return (weight * slope.reshape(shape)).astype(weight.dtype), moved.astype(weight.dtype)
