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

from typing import Literal, overload

from minideconv.backend import Array
from minideconv.backend.algorithms import accelerate
from minideconv.backend.device_guard import device_guard
from minideconv.ops.activations import relu, relu_backward
from minideconv.ops.batch_norm import (
    BatchNormSaved,
    batch_norm_backward,
    check,
    normalize,
    statistics,
)

__all__ = ["batch_norm_relu", "batch_norm_relu_backward", "normalize_relu"]


@overload
def batch_norm_relu(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = ...,
    bias: Array | None = ...,
    training: bool = ...,
    momentum: float = ...,
    eps: float = ...,
    return_saved: Literal[False] = ...,
) -> Array: ...
@overload
def batch_norm_relu(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = ...,
    bias: Array | None = ...,
    training: bool = ...,
    momentum: float = ...,
    eps: float = ...,
    *,
    return_saved: Literal[True],
) -> tuple[Array, BatchNormSaved]: ...
@device_guard
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
) -> Array | tuple[Array, BatchNormSaved]:
    """Return ``relu(batch_norm(x, ...))``; arguments, results and refusals are `batch_norm`'s.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 30.0], [3.0, 10.0]])
    >>> batch_norm_relu(x, None, None, bias=np.array([0.0, 3.0])).round(3)
    array([[0., 4.],
           [1., 2.]])
    """
    check(x, running_mean, running_var, weight, bias, momentum, eps, training)
    saved = statistics(x, running_mean, running_var, training, momentum, eps)
    y = normalize_relu(x, saved, weight, bias)
    return (y, saved) if return_saved else y


def normalize_relu(
    x: Array, saved: BatchNormSaved, weight: Array | None, bias: Array | None
) -> Array:
    """Return ``max(0, weight * (x - mean) * inv_std + bias)``."""
    if (found := accelerate("normalize_relu", x, saved, weight, bias)) is not None:
        return found
    return relu(normalize(x, saved, weight, bias))


@device_guard
def batch_norm_relu_backward(
    dy: Array,
    x: Array,
    saved: BatchNormSaved,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = True,
) -> tuple[Array, Array, Array]:
    """Return the gradients ``(dx, dweight, dbias)`` of `batch_norm_relu`.

    Parameters
    ----------
    dy, x : array, shape (N, C, H, W) or (N, C)
        Gradient of the output, and the input of the forward pass.
    saved : BatchNormSaved
        From ``batch_norm_relu(..., return_saved=True)``.
    weight, bias : array, shape (C,), optional
        The same as in the forward pass.
    training : bool
        Whether the batch's own statistics were used: in training, or without running averages.

    Raises
    ------
    ValueError
        If `dy` is not shaped like `x`.
    """
    if dy.shape != x.shape:
        raise ValueError(
            f"batch_norm_relu_backward: dy has shape {dy.shape} but x has shape {x.shape}"
        )
    found = accelerate("batch_norm_relu_backward", dy, x, saved, weight, bias, training)
    if found is not None:
        return found
    z = normalize(x, saved, weight, bias)  # computed as in the forward pass: the signs are the same
    return batch_norm_backward(relu_backward(dy, z), x, saved, weight, training)
