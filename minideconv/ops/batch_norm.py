"""Batch normalisation: each channel gets mean 0 and variance 1, then a scale and a shift.

    batch_norm    (N, C, H, W) or (N, C) -> the same shape
    y = weight * (x - mean) / sqrt(var + eps) + bias

In training, mean and var are those of the channel's M = N * H * W values, and running averages
follow them for later: ``running = (1 - momentum) * running + momentum * statistic``. The batch is
normalised with the biased variance (divide by M), the running one is unbiased (divide by M - 1),
as in PyTorch. In evaluation mean and var are the running averages: the layer is a fixed affine map.

Precision: ``E[x^2] - E[x]^2`` loses every digit when the mean is much larger than the spread, and
rounding the mean to float32 loses some. Here a first pass finds the mean roughly; a second one
works on ``x - mean`` and corrects it (the corrected two-pass algorithm). Sums run over one image
row in the array's precision and over the rows in float64. So where the mean is 10,000 times the
spread, float32 results are those of float64 to 1e-5 of the spread. Very large numbers: see
`batch_norm_range`.

Source: Ioffe, Szegedy, "Batch normalization" (2015), algorithm 1 and section 3; T. Chan, G. Golub,
R. LeVeque, "Algorithms for computing the sample variance" (1983), equation 1.7.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import accelerated, device_guard
from minideconv.ops import activations
from minideconv.ops.batch_norm_checks import check, check_gradient, values_per_channel
from minideconv.ops.batch_norm_range import check_variance, is_large, widened

__all__ = [
    "BatchNormSaved",
    "backward_apply",
    "backward_sums",
    "batch_norm",
    "batch_norm_backward",
    "batch_statistics",
    "from_moments",
    "from_running",
    "moments",
    "normalize",
    "statistics",
]

Gradients = tuple[Array, Array, Array]


class BatchNormSaved(NamedTuple):
    """The statistics that normalised x, float64 of shape (C,): what the backward pass needs."""

    mean: Array
    inv_std: Array


@device_guard
def batch_norm(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    return_saved: bool = False,
    relu: bool = False,
) -> Any:
    """Normalise every channel of `x`.

    Parameters
    ----------
    x : array, shape (N, C, H, W) or (N, C)
        float32 or float64.
    running_mean, running_var : array, shape (C,), optional
        Running averages. In training they are updated in place. None for both: the batch's own
        statistics are used, in evaluation too.
    weight, bias : array, shape (C,), optional
        Scale and shift after normalisation; without them 1 and 0.
    training : bool
        Normalise by the batch's statistics and update the running ones.
    momentum : float
        Weight of the new statistic in the running average, in 0..1.
    eps : float
        Added to the variance, positive.
    return_saved : bool
        Return ``(y, saved)`` for `batch_norm_backward`.
    relu : bool
        Return ``max(0, y)`` in place of y: `batch_norm_relu`.

    Returns
    -------
    array of x's shape and dtype, or (array, BatchNormSaved)

    Raises
    ------
    ValueError, TypeError
        If shapes disagree, or the batch's statistics are asked for and every channel has one value,
        or (on a CPU) a variance that float64 or `running_var` cannot hold.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]])
    >>> mean, var = np.zeros(2), np.ones(2)
    >>> batch_norm(x, mean, var, training=True, momentum=0.5).round(3)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> mean, var  # halfway to the batch's mean and unbiased variance
    (array([ 1., 10.]), array([  1.5, 100.5]))
    """
    check(x, running_mean, running_var, weight, bias, momentum, eps, training)
    saved = statistics(x, running_mean, running_var, training, momentum, eps)
    y = normalize(x, saved, weight, bias, relu)
    return (y, saved) if return_saved else y


def batch_norm_backward(
    dy: Array, x: Array, saved: BatchNormSaved, weight: Array | None = None, training: bool = True
) -> Gradients:
    """Return the gradients ``(dx, dweight, dbias)`` of `batch_norm`.

    With ``xh = (x - mean) * inv_std`` and means over a channel's M values::

        dbias = sum(dy)
        dweight = sum(dy * xh)
        dx = weight * inv_std * (dy - mean(dy) - xh * mean(dy * xh))

    The two means in dx are there because the batch's mean and variance depend on x. In evaluation
    they do not, and ``dx = weight * inv_std * dy``.

    Parameters
    ----------
    dy, x : array, shape (N, C, H, W) or (N, C)
        Gradient of the output, and the input of the forward pass.
    saved : BatchNormSaved
        From ``batch_norm(..., return_saved=True)``.
    weight : array, shape (C,), optional
        The same as in the forward pass.
    training : bool
        Whether the batch's own statistics were used: in training, or without running averages.

    Raises
    ------
    ValueError
        If `dy` is not shaped like `x`.
    """
    check_gradient("batch_norm_backward", dy, x)
    return batch_norm_backward_core(dy, x, saved, weight, None, training, False)


# ---------------------------------------------------------------------------------------------
# Forward: the statistics, and the affine map that they make


def statistics(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    training: bool,
    momentum: float,
    eps: float,
) -> BatchNormSaved:
    """Return what normalises `x`; in training the running averages follow it."""
    if training or running_mean is None or running_var is None:
        values_per_channel(x)
        return batch_statistics(x, running_mean, running_var, momentum, eps)
    return from_running(running_mean, running_var, eps)


@accelerated
def batch_statistics(
    x: Array, running_mean: Array | None, running_var: Array | None, momentum: float, eps: float
) -> BatchNormSaved:
    """Return what normalises the batch `x`; the running averages, if there are any, follow."""
    (mean, var), count = moments(x), x.size // x.shape[1]
    if is_large(var):
        mean, var = widened(x, mean, var)
        check_variance(var * (count / (count - 1)), running_var)
    return from_moments(mean, var, count, running_mean, running_var, momentum, eps)


@accelerated
def moments(x: Array) -> tuple[Array, Array]:
    """Return the mean and the biased variance of every channel, (C,) in float64."""
    planes, count = _planes(x), x.size // x.shape[1]
    centred, shift = _centre(planes, _sum(planes) / count)  # about the rough mean
    error = _sum(centred) / count
    var = get_xp(x).maximum(_dot(centred, centred) / count - error * error, 0.0)
    return shift + error, var


def from_moments(
    mean: Array,
    var: Array,
    count: int,
    running_mean: Array | None,
    running_var: Array | None,
    momentum: float,
    eps: float,
) -> BatchNormSaved:
    """Return what normalises a batch with these moments over `count` values of a channel.

    The running averages, if there are any, follow.
    """
    if running_mean is not None and running_var is not None:
        unbiased = var * (count / (count - 1))
        for running, value in ((running_mean, mean), (running_var, unbiased)):
            running *= 1.0 - momentum
            running += (momentum * value).astype(running.dtype)
    return BatchNormSaved(mean, 1.0 / get_xp(mean).sqrt(var + eps))


@accelerated
def from_running(running_mean: Array, running_var: Array, eps: float) -> BatchNormSaved:
    """Return what normalises in evaluation."""
    mean, var = running_mean.astype("float64"), running_var.astype("float64")
    return BatchNormSaved(mean, 1.0 / get_xp(mean).sqrt(var + eps))


@accelerated
def normalize(
    x: Array, saved: BatchNormSaved, weight: Array | None, bias: Array | None, relu: bool = False
) -> Array:
    """Return ``weight * (x - mean) * inv_std + bias``, or its positive part if `relu`."""
    y, shift = _centre(_planes(x), saved.mean)
    error = saved.mean - shift
    scale = saved.inv_std if weight is None else saved.inv_std * weight
    offset = -error * scale if bias is None else bias - error * scale
    y *= _per_channel(scale, y)
    y += _per_channel(offset, y)
    y = y.reshape(x.shape)
    return activations.relu(y) if relu else y


# ---------------------------------------------------------------------------------------------
# Backward: two sums over the batch, and dx from them


@accelerated
def batch_norm_backward_core(
    dy: Array,
    x: Array,
    saved: BatchNormSaved,
    weight: Array | None,
    bias: Array | None,
    training: bool,
    relu: bool,
) -> Gradients:
    """Return the gradients by x, weight and bias; with `relu`, those of `batch_norm_relu`."""
    if relu:  # computed as in the forward pass, so that the signs are the same
        dy = activations.relu_backward(dy, normalize(x, saved, weight, bias))
    dweight, dbias = backward_sums(dy, x, saved)
    count = values_per_channel(x) if training else 0
    dx = backward_apply(dy, x, saved, weight, dweight, dbias, count, training)
    return dx, dweight.astype(x.dtype), dbias.astype(x.dtype)


@accelerated
def backward_sums(dy: Array, x: Array, saved: BatchNormSaved) -> tuple[Array, Array]:
    """Return ``dweight = sum(dy * xh)`` and ``dbias = sum(dy)``, float64 of shape (C,).

    They are sums over the batch: where several processes share one, they add up theirs.
    """
    dy = _planes(dy)
    centred, shift = _centre(_planes(x), saved.mean)
    dbias = _sum(dy)
    return (_dot(dy, centred) - (saved.mean - shift) * dbias) * saved.inv_std, dbias


@accelerated
def backward_apply(
    dy: Array,
    x: Array,
    saved: BatchNormSaved,
    weight: Array | None,
    dweight: Array,
    dbias: Array,
    count: int,
    training: bool,
) -> Array:
    """Return dx from the two sums over all `count` values of a channel.

    ``weight * inv_std * (dy - dbias / count - xh * dweight / count)``; in evaluation neither the
    sums nor `count` matter.
    """
    dy = _planes(dy)
    scale = saved.inv_std if weight is None else saved.inv_std * weight
    if not training:
        return (dy * _per_channel(scale, x)).reshape(x.shape)
    dx, shift = _centre(_planes(x), saved.mean)
    slope = -saved.inv_std * dweight / count  # of x - mean
    constant = -slope * (saved.mean - shift) - dbias / count
    dx *= _per_channel(slope, dx)
    dx += dy
    dx += _per_channel(constant, dx)
    dx *= _per_channel(scale, dx)
    return dx.reshape(x.shape)


# ---------------------------------------------------------------------------------------------
# Maps and channels


def _planes(x: Array) -> Array:
    """View (N, C) as (N, C, 1, 1)."""
    return x if x.ndim == 4 else x[:, :, None, None]


def _per_channel(values: Array, like: Array) -> Array:
    """(C,) float64 -> (C, 1, 1) in the precision of `like`, to broadcast over N, H and W."""
    return values.astype(like.dtype)[:, None, None]


def _centre(planes: Array, mean: Array) -> tuple[Array, Array]:
    """Return ``planes - shift``, and shift: the mean, rounded to the precision of `planes`."""
    shift = mean.astype(planes.dtype)
    return planes - shift[:, None, None], shift.astype(mean.dtype)


def _sum(a: Array) -> Array:
    """Sum over N, H, W: (N, C, H, W) -> (C,) in float64, rows in the array's own precision."""
    return get_xp(a).einsum("nchw->nch", a).sum(axis=(0, 2), dtype="float64")


def _dot(a: Array, b: Array) -> Array:
    """Sum of ``a * b`` over N, H, W: (C,) in float64, with no array of products in between."""
    return get_xp(a).einsum("nchw,nchw->nch", a, b).sum(axis=(0, 2), dtype="float64")
