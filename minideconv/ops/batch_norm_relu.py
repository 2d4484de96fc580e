"""Batch normalisation and a ReLU in one: what stands behind every convolution of DeconvNet.

    batch_norm_relu    (N, C, H, W) or (N, C) -> the same shape
    y = max(0, weight * (x - mean) / sqrt(var + eps) + bias)

Nothing is new here: it is `batch_norm`, then `relu`. But both are simple maps of large arrays, so
that reading and writing memory is nearly all their work, and a fast way to do them together (see
`engine.cpu.batch_norm`) writes the array in between to no memory.

The backward pass needs to know where the ReLU let a value pass. It could keep y and look there. It
computes the sign again from x instead, which it reads anyway: five arrays are read or written in
place of seven, and y need not be kept.
"""

from __future__ import annotations

from typing import Any

from minideconv.backend import Array
from minideconv.ops.batch_norm import (
    BatchNormSaved,
    Gradients,
    batch_norm,
    batch_norm_backward_core,
)
from minideconv.ops.batch_norm_checks import check_gradient

__all__ = ["batch_norm_relu", "batch_norm_relu_backward"]


def batch_norm_relu(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    return_saved: bool = False,
) -> Any:
    """Return ``relu(batch_norm(x, ...))``; arguments, results and errors are `batch_norm`'s.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 30.0], [3.0, 10.0]])
    >>> batch_norm_relu(x, None, None, bias=np.array([0.0, 3.0])).round(3)
    array([[0., 4.],
           [1., 2.]])
    """
    options = (weight, bias, training, momentum, eps, return_saved)
    return batch_norm(x, running_mean, running_var, *options, relu=True)


def batch_norm_relu_backward(
    dy: Array,
    x: Array,
    saved: BatchNormSaved,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = True,
) -> Gradients:
    """Return the gradients ``(dx, dweight, dbias)`` of `batch_norm_relu`.

    Arguments and errors are those of `batch_norm_backward`, and `bias` that of the forward pass.
    """
    check_gradient("batch_norm_relu_backward", dy, x)
    return batch_norm_backward_core(dy, x, saved, weight, bias, training, True)
