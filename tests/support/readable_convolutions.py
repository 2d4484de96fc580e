"""A convolution and its gradients by `ops`, in the order of axes of the GPU's algorithms."""

from __future__ import annotations

import numpy as np

from minideconv import ops
from minideconv.backend.algorithms import algorithm
from minideconv.ops.im2col import conv_window
from minideconv.testing import values

__all__ = ["TOLERANCES", "data", "first", "last", "wanted", "window_of"]

TOLERANCES = {"fp32": 1e-5, "tf32": 1e-3, "bf16": 1e-2, "fp16": 1e-3, "fp64": 1e-12}
"""Of a result's norm, for each precision."""


def window_of(g):
    return conv_window("test", g.size, g.kernel, g.stride, g.padding, g.dilation)


def last(x):
    """(N, C, H, W) -> (N, H, W, C)."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def first(w):
    """(K, C, kh, kw) -> (kh, kw, C, K)."""
    return np.ascontiguousarray(w.transpose(2, 3, 1, 0))


def data(g, seed, kind="integer", dtype=np.float32):
    """Return x, w, dy and biases for the output and for the input."""
    shapes = (g.x_shape, g.w_shape, g.y_shape, g.c_out, g.c_in)
    return [values(shape, seed + i, kind, dtype) for i, shape in enumerate(shapes)]


def wanted(g, arrays):
    """Return all results by name: y, dx and dw; "both" and "together" are other ways to them."""
    x, w, dy, by, bx = arrays
    with algorithm("reference"):
        y, dx = ops.conv2d(x, w, **g.kwargs), ops.conv_transpose2d(dy, w, **g.transpose_kwargs)
        dw = ops.conv2d_weight_grad(x, dy, g.kernel, **g.kwargs)
    y, dx, dw = last(y), last(dx), first(dw)
    together = {"dx, both": dx, "dw, together": dw}
    return {
        **{"y": y, "y + b": y + by, "dx": dx, "dx + b": dx + bx, "dw": dw},
        **{"y, both": y, "dw, both": dw, **together},
    }
