"""Batch normalisation of a batch that several processes share: `batch_norm` over all its parts.

    sync_batch_norm    (N_r, C, H, W) or (N_r, C) on process r -> the same shape

Each process has some images of the batch. If each normalised its own, N processes would not compute
what one process computes with the whole batch, and with one image each there would be little to
take a mean of. Here mean and variance are those of the whole batch.

Forward: process r finds the number n_r of its values in a channel, their mean m_r and the sum of
squares about it, M_r. They are gathered, and each process merges them by Chan's formula::

    n = sum n_r        m = sum n_r m_r / n        M = sum (M_r + n_r (m_r - m)^2)        var = M / n

All do this sum in float64 and in the order of the ranks, so all have the same bits, and no rounding
can let their running averages drift apart. A process without images takes part with n_r = 0.

Backward: the two sums in ``dx = weight inv_std (dy - sum(dy) / n - xh sum(dy xh) / n)`` are over
the whole batch. The gradients of weight and bias stay each process's own share, as every other
gradient does: they are added up over the processes once, all together (see `distributed`).

Source: T. Chan, G. Golub, R. LeVeque, "Algorithms for computing the sample variance" (1983),
equation 2.1 for two parts, here for all at once; C. Peng et al., "MegDet: A Large Mini-Batch Object
Detector" (CVPR 2018), section 3.2, for batch normalisation across GPUs.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import accelerated, device_guard
from minideconv.ops.activations import relu_backward
from minideconv.ops.batch_norm import (
    BatchNormSaved,
    Gradients,
    backward_apply,
    backward_sums,
    from_moments,
    moments,
    normalize,
)
from minideconv.ops.batch_norm_checks import check, check_gradient
from minideconv.ops.batch_norm_range import check_variance, is_large, widened

__all__ = ["Collectives", "SyncSaved", "sync_batch_norm", "sync_batch_norm_backward"]


class Collectives(Protocol):
    """What this file needs of the processes; `distributed.Communicator` has it."""

    def all_gather(self, array: Array) -> Array:
        """Return the arrays of all processes, stacked in the order of the ranks."""

    def all_reduce_(self, array: Array) -> None:
        """Overwrite `array` with the sum over all processes."""


class SyncSaved(NamedTuple):
    """What the backward pass needs: the statistics, and this process's share of the values."""

    statistics: BatchNormSaved
    share: Array | float
    """n_r / n; on a GPU an array of one number, because reading it would stop the step."""


@device_guard
def sync_batch_norm(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None,
    bias: Array | None,
    momentum: float,
    eps: float,
    comm: Collectives,
    relu: bool = False,
) -> tuple[Array, SyncSaved]:
    """Normalise every channel of `x` in training, by the statistics of all processes' batches.

    Parameters
    ----------
    x : array, shape (N, C, H, W) or (N, C)
        This process's images; N may be 0, and another one on each process.
    running_mean, running_var, weight, bias, momentum, eps
        As for `batch_norm`, and equal on all processes. The running averages follow the whole
        batch, and so stay equal.
    comm : Collectives
        The processes. All of them must call this function, in the same order.
    relu : bool
        Return ``max(0, y)``.

    Raises
    ------
    ValueError, TypeError
        If shapes disagree, or the whole batch has one value in each channel. (The latter is not
        looked at on a GPU, where the variance is then 0/0 and the loss no longer finite.)
    """
    check(x, running_mean, running_var, weight, bias, momentum, eps, training=True)
    rows = comm.all_gather(_own_moments(x))
    saved, total = merge(rows, running_mean, running_var, momentum, eps)
    y = normalize(x, saved, weight, bias, relu)
    return y, SyncSaved(saved, _values(x) / total)


@device_guard
def sync_batch_norm_backward(
    dy: Array,
    x: Array,
    saved: SyncSaved,
    weight: Array | None,
    bias: Array | None,
    comm: Collectives,
    relu: bool = False,
) -> Gradients:
    """Return the gradients ``(dx, dweight, dbias)`` of `sync_batch_norm`.

    dx is complete; dweight and dbias are what this process's images contribute.

    Parameters
    ----------
    dy, x : array, shape (N, C, H, W) or (N, C)
        Gradient of the output, and the input of the forward pass.
    saved : SyncSaved
        What `sync_batch_norm` returned.
    weight, bias, comm, relu
        The same as in the forward pass.

    Raises
    ------
    ValueError
        If `dy` is not shaped like `x`.
    """
    check_gradient("sync_batch_norm_backward", dy, x)
    xp, values = get_xp(x), _values(x)
    if relu:
        dy = relu_backward(dy, normalize(x, saved.statistics, weight, bias))
    sums = xp.zeros((2, x.shape[1]), xp.float64)
    if values:
        sums[0], sums[1] = backward_sums(dy, x, saved.statistics)
    dweight, dbias = sums.astype(x.dtype)
    comm.all_reduce_(sums)
    # sum / n = (sum n_r / n) / n_r: so the number to divide by is one that is known here.
    sums *= saved.share
    dx = dy
    if values:
        dx = backward_apply(dy, x, saved.statistics, weight, sums[0], sums[1], values, True)
    return dx, dweight, dbias


@accelerated
def merge(
    rows: Array, running_mean: Array | None, running_var: Array | None, momentum: float, eps: float
) -> tuple[BatchNormSaved, Array | int]:
    """Put all processes' moments together; return the batch's statistics and number of values.

    Parameters
    ----------
    rows : array, shape (processes, 1 + 2 C)
        float64: n_r, then m_r, then M_r.
    running_mean, running_var, momentum, eps
        As for `batch_norm`; the running averages follow.
    """
    channels = rows.shape[1] // 2
    counts, means, squares = rows[:, :1], rows[:, 1 : 1 + channels], rows[:, 1 + channels :]
    total = int(counts.sum())
    if total < 2:
        raise ValueError(
            f"sync_batch_norm: the batch of all {len(rows)} processes "
            f"has {total} value per channel, "
            "but its variance needs at least 2; use a larger batch or image"
        )
    mean = (counts * means).sum(axis=0) / total
    var = (squares + counts * (means - mean) ** 2).sum(axis=0) / total
    if is_large(var):  # on all processes alike
        check_variance(var * (total / (total - 1)), running_var)
    return from_moments(mean, var, total, running_mean, running_var, momentum, eps), total


def _own_moments(x: Array) -> Array:
    """Return this process's row: n_r, m_r, M_r, float64 of shape (1 + 2 C,)."""
    channels, values = x.shape[1], _values(x)
    xp = get_xp(x)
    row: Array = xp.zeros(1 + 2 * channels, xp.float64)
    if values:
        mean, var = moments(x)
        if is_large(var):
            mean, var = widened(x, mean, var)
        row[:1] = values
        row[1 : 1 + channels] = mean
        xp.multiply(var, values, out=row[1 + channels :])
    return row


def _values(x: Array) -> int:
    """Values of `x` in a channel."""
    return int(x.size // max(x.shape[1], 1))
