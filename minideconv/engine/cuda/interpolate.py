"""Resizing on the GPU: the two small matrices of `ops.interpolate`, as two strided products.

    (H', H) x (N, H, W C) -> (N, H', W C)          all rows of an image are one wide row
    (W', W) x (N H', W, C) -> (N H', W', C)        every row of the result is an image of one row

Channels last makes both of them plain products of matrices in the right storage order, where NCHW
would have N C small ones. The matrices are made on the host and sent once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minideconv.backend import Array, Device, device_of, get_xp, to_device
from minideconv.engine.cuda.blas import gemm
from minideconv.engine.layout import from_channels_last, to_channels_last
from minideconv.ops.geometry import Pair
from minideconv.ops.interpolate import (
    interpolate_backward_core,
    interpolate_core,
    interpolation_matrix,
)

__all__ = ["backward", "forward"]

Factors = tuple[float | None, float | None]


@interpolate_core.faster("gpu")
def forward(x: Array, new: Pair, mode: str, align_corners: bool, factors: Factors) -> Array | None:
    """`ops.interpolate`: (N, C, H, W) -> (N, C, H', W')."""
    if not _fits(x):
        return None
    a_h, a_w = _matrices(x, x.shape[2:], new, mode, align_corners, factors)
    if mode == "bilinear":
        return _resize(a_h, x, a_w)
    # A product would make NaN of 0 times infinity; a row's only 1 is at the pixel to take.
    nhwc = to_channels_last(x)
    return from_channels_last(nhwc[:, a_h.argmax(axis=1)][:, :, a_w.argmax(axis=1)])


@interpolate_backward_core.faster("gpu")
def backward(
    dy: Array, size: Pair, mode: str, align_corners: bool, factors: Factors
) -> Array | None:
    """`ops.interpolate_backward`: (N, C, H', W') -> (N, C, H, W)."""
    if not _fits(dy):
        return None
    a_h, a_w = _matrices(dy, size, dy.shape[2:], mode, align_corners, factors)
    return _resize(a_h.T, dy, a_w.T)


def _fits(x: Array) -> bool:
    return x.dtype in (np.float32, np.float64) and x.size > 0


def _resize(a_h: Array, x: Array, a_w: Array) -> Array:
    """Return ``a_h @ x @ a_w.T``, channels last."""
    xp, nhwc = get_xp(x), to_channels_last(x)
    n, h, w, c = nhwc.shape
    rows = xp.empty((n, len(a_h), w * c), x.dtype)
    gemm(a_h, nhwc.reshape(n, h, w * c), rows)
    out = xp.empty((n * len(a_h), len(a_w), c), x.dtype)
    gemm(a_w, rows.reshape(n * len(a_h), w, c), out)
    return from_channels_last(out.reshape(n, len(a_h), len(a_w), c))


def _matrices(
    like: Array, size: Pair, new: Pair, mode: str, align_corners: bool, factors: Factors
) -> tuple[Array, Array]:
    device, name = device_of(like), like.dtype.name
    a_h, a_w = (
        _matrix(name, device, *lengths, mode, align_corners, factor)
        for *lengths, factor in zip(size, new, factors, strict=True)
    )
    return a_h, a_w


@lru_cache(maxsize=64)
def _matrix(dtype: str, device: Device, *arguments: Any) -> Array:
    """Return `interpolation_matrix` on the device."""
    return to_device(interpolation_matrix(*arguments).astype(dtype), device)
