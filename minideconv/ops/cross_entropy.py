"""Cross entropy between scores and labels: minus the log-probability of the right class, per pixel.

    (N, C, ...) x (N, ...) -> () or (N, ...)        l = -w[t] log softmax(z)[t]

z (C,) are one pixel's scores, t its label, w (C,) weights of the classes. "mean" divides the sum by
the sum of w[t] over the pixels that count, not by their number, as PyTorch does. A pixel labelled
`ignore_index` has no loss and no gradient; where none counts, the loss is 0 and not 0/0.

Label smoothing by e replaces the target, all of it on class t, by 1 - e of it on t and e/C on each
class:

    l = -sum_c q_c log softmax(z)_c        q_c = (1 - e) w[t] [c = t] + e/C w_c
    dl/dz_c = softmax(z)_c sum_k q_k - q_c

Without weights and smoothing that is the well-known "probabilities minus one-hot".

Backward needs the probabilities. What forward keeps for it is either their logarithms, or only
where they came from, to make them once more (`CrossEntropySaved`): an exponential more a score, and
an array as large as the scores less.

Source: Szegedy et al., "Rethinking the Inception architecture for computer vision" (2016), section
7, for the smoothing; the semantics are those of PyTorch's ``cross_entropy``, except for the 0
above.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import accelerated, device_guard
from minideconv.backend.sums import sum_type
from minideconv.ops.activations import log_softmax
from minideconv.ops.cross_entropy_checks import (
    check,
    check_class_weights,
    check_ignore_index,
    check_labels,
)

__all__ = [
    "CrossEntropySaved",
    "Saved",
    "cross_entropy",
    "cross_entropy_backward",
    "gradient_from_log_probs",
    "gradient_from_scores",
    "log_probabilities",
]


class CrossEntropySaved(NamedTuple):
    """What backward needs where the probabilities are made once more: all on the scores' device."""

    logits: Array
    target: Array
    weight: Array | None
    divisor: Array
    """(): what "mean" divided by; 1 for the other reductions."""


Saved = Array | CrossEntropySaved


def cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = 255,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    return_saved: bool = False,
) -> Any:
    """Return the cross entropy between scores and labels.

    Parameters
    ----------
    logits : floating-point array (N, C, ...)
        Scores, before softmax; (N, C) for images, (N, C, H, W) for pixels.
    target : integer array (N, ...)
        Labels in 0..C-1, or `ignore_index`.
    weight : array (C,), optional
        The weight of each class, finite and not negative; 1 by default.
    ignore_index : int
        The label of pixels that do not count; 255 is VOC's void.
    reduction : {"mean", "sum", "none"}
        "mean" is weighted: it divides by the sum of ``weight[target]``.
    label_smoothing : float in [0, 1]
    return_saved : bool
        Also return what `cross_entropy_backward` needs.

    Returns
    -------
    loss : array () for "mean" and "sum", (N, ...) for "none"
    saved : array (N, C, ...) or `CrossEntropySaved`; only with ``return_saved=True``
        The log-probabilities, or what they are made from.

    Raises
    ------
    ValueError
        If shapes do not fit, a label is neither in 0..C-1 nor `ignore_index` (the message counts
        them), or an option is out of its range.
    TypeError
        If `logits` is not floating point, `target` is not integer, or `weight` is not real.

    Examples
    --------
    >>> import numpy as np
    >>> scores = np.log(np.array([[1.0, 3.0], [1.0, 1.0], [5.0, 1.0]]))
    >>> cross_entropy(scores, np.array([1, 0, 255]), reduction="none").round(4)
    array([0.2877, 0.6931, 0.    ])
    >>> float(cross_entropy(scores, np.array([1, 0, 255])).round(4))
    0.4904
    """
    check(logits, target, weight, reduction, label_smoothing)
    check_ignore_index("cross_entropy", ignore_index)
    options = (ignore_index, reduction, label_smoothing)
    loss, saved = cross_entropy_core(logits, target, weight, *options)
    return (loss, saved) if return_saved else loss


@accelerated
def cross_entropy_core(
    logits: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> tuple[Array, Saved]:
    """`cross_entropy` of arrays that fit, and what backward needs."""
    xp = get_xp(logits)
    wide = sum_type(logits.dtype)
    if wide != logits.dtype:  # float16 has no sum over 65504 pixels
        options = (ignore_index, reduction, label_smoothing)
        loss, saved = cross_entropy_core(logits.astype(wide), target, weight, *options)
        if not isinstance(saved, CrossEntropySaved):
            saved = CrossEntropySaved(logits, xp.asarray(target), weight, xp.ones((), wide))
        return loss.astype(logits.dtype), saved._replace(logits=logits)
    if weight is not None:
        check_class_weights(weight)
        weight = xp.asarray(weight)
    t, counts = check_labels(xp.asarray(target), logits.shape[1], ignore_index)  # (N, M) both
    log_probs, picked = log_probabilities(_flat(logits), t)  # (N, C, M), (N, M)
    w_t = _pixel_weights(t, counts, weight, log_probs.dtype)  # (N, M)
    loss = xp.where(counts, -picked, 0.0)
    loss *= (1 - label_smoothing) * w_t
    if label_smoothing > 0:
        if weight is None:
            spread = log_probs.sum(axis=1)  # (N, C, M) -> (N, M)
        else:
            spread = xp.matmul(weight.astype(log_probs.dtype, copy=False), log_probs)
        loss -= label_smoothing / logits.shape[1] * xp.where(counts, spread, 0.0)
    if reduction == "none":
        loss = loss.reshape(target.shape)
    else:
        loss = xp.asarray(loss.sum())
        if reduction == "mean":
            loss = loss / _or_one(xp, w_t.sum())
    return xp.asarray(loss, dtype=log_probs.dtype), log_probs.reshape(logits.shape)


@accelerated
def log_probabilities(logits: Array, t: Array) -> tuple[Array, Array]:
    """Return log softmax of (N, C, M) over the classes, and its numbers at the labels (N, M)."""
    log_probs = log_softmax(logits, dim=1)
    return log_probs, log_probs[_at(get_xp(logits), t)]


@device_guard
def cross_entropy_backward(
    dloss: Array,
    saved: Saved,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = 255,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """Return dL/dlogits of `cross_entropy`, (N, C, ...), from dL/dloss and what forward saved.

    The other arguments are those of forward.
    """
    if isinstance(saved, CrossEntropySaved):
        kind = saved.logits.dtype
        saved = saved._replace(logits=saved.logits.astype(sum_type(kind), copy=False))
        dloss = dloss.astype(saved.logits.dtype, copy=False)
        dlogits = gradient_from_scores(dloss, saved, ignore_index, reduction, label_smoothing)
        return dlogits.astype(kind, copy=False)
    xp, log_probs, classes = get_xp(saved), saved, saved.shape[1]
    weight = None if weight is None else xp.asarray(weight)
    t, counts = check_labels(xp.asarray(target), classes, ignore_index)
    w_t = _pixel_weights(t, counts, weight, log_probs.dtype)
    # The gradient of each pixel's own loss; (N, M).
    g = xp.where(counts, dloss.reshape(t.shape) if reduction == "none" else dloss, 0.0)
    g = g.astype(log_probs.dtype, copy=False)
    if reduction == "mean":
        g /= _or_one(xp, w_t.sum())
    on_target = (1 - label_smoothing) * w_t * g  # what q puts on class t
    on_each = label_smoothing / classes * g  # what q puts on every class, before w_c

    w = xp.ones(classes) if weight is None else weight
    w = w.astype(log_probs.dtype, copy=False)
    total = on_target + w.sum() * on_each
    each = on_each if label_smoothing > 0 else None
    dlogits = gradient_from_log_probs(_flat(log_probs), t, total, each, w, on_target)
    return dlogits.reshape(log_probs.shape)


@accelerated
def gradient_from_scores(
    dloss: Array,
    saved: CrossEntropySaved,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Array:
    """`cross_entropy_backward` where forward has kept the scores, not their log-probabilities."""
    log_probs, (_, target, weight, _) = log_softmax(saved.logits, dim=1), saved
    options = (ignore_index, reduction, label_smoothing)
    return cross_entropy_backward(dloss, log_probs, target, weight, *options)


@accelerated
def gradient_from_log_probs(
    log_probs: Array, t: Array, total: Array, each: Array | None, weight: Array, on_target: Array
) -> Array:
    """Return ``exp(log_probs) * total - weight * each``, and `on_target` less at the labels `t`.

    `each` is None where it would be 0.
    """
    xp = get_xp(log_probs)
    dlogits: Array = xp.exp(log_probs)  # (N, C, M)
    dlogits *= total[:, None]
    if each is not None:
        dlogits -= weight[:, None] * each[:, None]
    dlogits[_at(xp, t)] -= on_target  # one entry per pixel, so nothing is written twice
    return dlogits


def _flat(x: Array) -> Array:
    """(N, C, ...) -> (N, C, M), stored with the classes side by side if `x` is."""
    n, c, m = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    if x.ndim > 2 and x.strides[1] == x.itemsize:  # a reshape alone would move them apart
        return get_xp(x).moveaxis(x, 1, -1).reshape(n, m, c).transpose(0, 2, 1)
    return x.reshape(n, c, m)


def _at(xp: Any, t: Array) -> tuple[Array, Array, Array]:
    """Return the index with which ``a[index]`` is ``a[n, t[n, m], m]`` for every pixel."""
    n, m = t.shape
    return xp.arange(n)[:, None], t, xp.arange(m)


def _or_one(xp: Any, total: Array) -> Array:
    """Return `total`, or 1 where it is 0: a mean over nothing is 0, not NaN."""
    return xp.where(total == 0, 1.0, total).astype(total.dtype)


def _pixel_weights(t: Array, counts: Array, weight: Array | None, dtype: Any) -> Array:
    """Return w[t], and 0 where a pixel does not count: (N, M)."""
    if weight is None:
        return counts.astype(dtype)
    return weight.astype(dtype, copy=False)[t] * counts
