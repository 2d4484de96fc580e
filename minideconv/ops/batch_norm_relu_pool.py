"""Batch normalisation, ReLU and max pooling in one: what is behind the convolutions of DeconvNet.

    batch_norm_relu         (N, C, H, W) or (N, C) -> the same shape
    batch_norm_relu_pool    (N, C, H, W) -> (N, C, H', W') and switches

Nothing is new here: it is `batch_norm`, then `relu`, then `max_pool2d`. But the first two are
simple maps of large arrays, so that reading and writing memory is nearly all their work, and a fast
way to do them together (see `engine.cpu.batch_norm`) does not write the array in between to memory.

The backward pass needs the sign of what the ReLU was given. Instead of keeping y for that, it
computes the sign again from x, which it reads anyway: five arrays are read or written in place of
seven, and y need not be kept. Of the large map that the pooling reads nothing is needed
either: the switches point to the pixels that had the maxima. A fast way to do the three together
(see `engine.cuda.batch_norm_pool`) writes neither that map nor its gradient.
"""

from __future__ import annotations

from typing import Any

from minideconv.backend import Array
from minideconv.backend.dispatch import accelerated, device_guard
from minideconv.ops.batch_norm import (
    BatchNormSaved,
    Gradients,
    batch_norm,
    batch_norm_backward_core,
    normalize,
    statistics,
)
from minideconv.ops.batch_norm_checks import check, check_gradient
from minideconv.ops.geometry import IntPair, Window
from minideconv.ops.pool_window import check_images, pool_window
from minideconv.ops.pooling import max_pool2d_core
from minideconv.ops.switches import Switches
from minideconv.ops.unpooling import check_planes, check_values, scatter_add, scatter_taps

__all__ = [
    "batch_norm_relu",
    "batch_norm_relu_backward",
    "batch_norm_relu_pool",
    "batch_norm_relu_pool_backward",
    "normalize_relu_pool",
]


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


@device_guard
def batch_norm_relu_pool(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    kernel_size: IntPair = 2,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> tuple[Array, Switches, BatchNormSaved]:
    """Return ``max_pool2d(relu(batch_norm(x)))``, the switches, and what the backward pass needs.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        float32 or float64.
    running_mean, running_var, weight, bias, training, momentum, eps
        As for `batch_norm`.
    kernel_size, stride, padding, dilation, ceil_mode
        As for `max_pool2d`.

    Returns
    -------
    y : array, shape (N, C, H', W')
    switches : Switches
    saved : BatchNormSaved

    Raises
    ------
    ValueError, TypeError
        As `batch_norm` and `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[[1.0, 3.0], [2.0, 0.0]]], [[[0.0, 2.0], [1.0, 3.0]]]])
    >>> y, switches, _ = batch_norm_relu_pool(x, None, None)
    >>> y.ravel().round(3), switches.indices.ravel()
    (array([1.342, 1.342]), array([1, 3], dtype=int32))
    """
    check_images("batch_norm_relu_pool", "x", x)
    check(x, running_mean, running_var, weight, bias, momentum, eps, training)
    options = (kernel_size, stride, padding, dilation, ceil_mode)
    window = pool_window("batch_norm_relu_pool", x.shape[2:], *options)
    saved = statistics(x, running_mean, running_var, training, momentum, eps)
    y, taps = normalize_relu_pool(x, saved, weight, bias, window)
    return y, Switches._from_taps(taps, window), saved


@accelerated
def normalize_relu_pool(
    x: Array, saved: BatchNormSaved, weight: Array | None, bias: Array | None, window: Window
) -> tuple[Array, Array]:
    """Return the maxima of the normalised and rectified map, and the taps that had them."""
    return max_pool2d_core(normalize(x, saved, weight, bias, relu=True), window, True)


def batch_norm_relu_pool_backward(
    dy: Array,
    switches: Switches,
    x: Array,
    saved: BatchNormSaved,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = True,
) -> Gradients:
    """Return the gradients ``(dx, dweight, dbias)`` of `batch_norm_relu_pool`.

    Parameters
    ----------
    dy : array, shape (N, C, H', W')
        Gradient of the output.
    switches : Switches
        From the forward pass.
    x, saved, weight, bias, training
        As for `batch_norm_relu_backward`.

    Raises
    ------
    ValueError, TypeError
        If `dy` is not shaped like the switches, or `x` not like the planes they point into.
    """
    check_values("batch_norm_relu_pool_backward", "dy", dy, switches)
    check_planes("batch_norm_relu_pool_backward", "x", x, switches)
    taps, window, rest = switches._taps, switches._window, (x, saved, weight, bias, training)
    if window is None:
        return batch_norm_relu_backward(scatter_add(dy, switches), *rest)
    return batch_norm_relu_pool_backward_core(dy, taps, window, *rest)


@accelerated
def batch_norm_relu_pool_backward_core(
    dy: Array,
    taps: Array,
    window: Window,
    x: Array,
    saved: BatchNormSaved,
    weight: Array | None,
    bias: Array | None,
    training: bool,
) -> Gradients:
    """`batch_norm_relu_pool_backward` with switches that have their window."""
    dz = scatter_taps(dy, taps, window)
    return batch_norm_relu_backward(dz, x, saved, weight, bias, training)
