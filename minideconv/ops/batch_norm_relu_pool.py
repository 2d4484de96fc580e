"""Batch normalisation, a ReLU and max pooling in one: how a stage of DeconvNet's encoder ends.

    batch_norm_relu_pool    (N, C, H, W) -> (N, C, H', W') and switches

Like `batch_norm_relu` it is nothing new, one operation behind the other. But of the large map that
the pooling reads nothing is needed later: backward, the switches say which pixels had the maxima,
and the sign that the ReLU asks for is computed again from x. A fast way to do the three together
(see `engine.cuda.batch_norm_pool`) never writes that map, and neither its gradient.
"""

from __future__ import annotations

from minideconv.backend import Array
from minideconv.backend.dispatch import accelerated, device_guard
from minideconv.ops.batch_norm import BatchNormSaved, Gradients, normalize, statistics
from minideconv.ops.batch_norm_checks import check
from minideconv.ops.batch_norm_relu import batch_norm_relu_backward
from minideconv.ops.geometry import IntPair, Window
from minideconv.ops.pool_window import check_images, pool_window
from minideconv.ops.pooling import max_pool2d_core
from minideconv.ops.switches import Switches
from minideconv.ops.unpooling import check_planes, check_values, scatter_add, scatter_taps

__all__ = [
    "batch_norm_relu_pool",
    "batch_norm_relu_pool_backward",
    "normalize_relu_pool",
]


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
    size = (x.shape[2], x.shape[3])
    options = (kernel_size, stride, padding, dilation, ceil_mode)
    window = pool_window("batch_norm_relu_pool", size, *options)
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
    if taps is None or window is None:
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
    """`batch_norm_relu_pool_backward` with switches that know their window."""
    dz = scatter_taps(dy, taps, window)
    return batch_norm_relu_backward(dz, x, saved, weight, bias, training)
