"""Losses as functions of Tensors."""

from __future__ import annotations

from typing import Any, Literal

from minideconv import ops
from minideconv.autograd import Node, Tensor, is_grad_enabled, record
from minideconv.autograd.broadcasting import constant
from minideconv.autograd.gradients import with_history
from minideconv.backend import Array, get_xp
from minideconv.backend.checks import check_number
from minideconv.functional.arguments import Needs, no_tensor, unchanging
from minideconv.functional.elementwise_losses import Reduction, check_reduction
from minideconv.functional.pointwise import log_softmax, record_log_softmax
from minideconv.ops.cross_entropy import CrossEntropySaved, Saved
from minideconv.ops.cross_entropy_checks import (
    check_class_count,
    check_ignore_index,
    check_weight,
)

__all__ = ["cross_entropy"]


def cross_entropy(
    logits: Tensor,
    target: Array | Tensor,
    weight: Array | Tensor | None = None,
    ignore_index: int = 255,
    reduction: Literal["mean", "sum", "none"] = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return ``-log softmax(logits)[target]``, averaged over the labels that count.

    See `ops.cross_entropy`. Neither labels nor class weights receive a gradient. A target of floats
    (N, C, ...), as PyTorch takes it too, holds the classes' probabilities q: then the loss is
    ``-sum_c w_c q_c log softmax(z)_c``, smoothed likewise, and its mean is over the pixels.
    """
    if not isinstance(logits, Tensor):
        raise no_tensor("cross_entropy", logits=logits)
    recorded = is_grad_enabled() and logits.requires_grad
    labels = unchanging(target, recorded)
    if weight is not None:
        check_weight("cross_entropy", "weight", weight)
    if labels.dtype.kind == "f":
        check_ignore_index("cross_entropy", ignore_index)
        probabilities = target if isinstance(target, Tensor) else labels
        return _against_probabilities(logits, probabilities, weight, reduction, label_smoothing)
    options: dict[str, Any] = {
        "target": labels,
        "weight": None if weight is None else unchanging(weight, recorded),
        "ignore_index": ignore_index,
        "reduction": reduction,
        "label_smoothing": label_smoothing,
    }
    loss, saved = ops.cross_entropy(logits.data, **options, return_saved=True)

    source = logits._node or logits  # without the scores themselves, which need not be kept

    def backward(dloss: Any, needs: Needs, saved: Saved, *watched: Any) -> Any:
        if not isinstance(dloss, Tensor):
            return (ops.cross_entropy_backward(dloss, saved, **options),)
        if isinstance(saved, CrossEntropySaved):
            log_probs = log_softmax(watched[-1], 1)
        else:
            log_probs = _log_probs(saved, source)
        return (_cross_entropy_backward(dloss, log_probs, options),)

    # None of these must change meanwhile; the scores only where they are saved themselves.
    kept: tuple[Any, ...] = (saved,)
    if isinstance(target, Tensor):
        kept += (target,)
    if isinstance(weight, Tensor):
        kept += (weight,)
    if isinstance(saved, CrossEntropySaved):
        kept += (logits,)
    return record("cross_entropy", loss, (logits,), backward, kept, options, True, backward)


def _against_probabilities(
    logits: Tensor, target: Any, weight: Any, reduction: Reduction, label_smoothing: float
) -> Tensor:
    check_reduction("cross_entropy", reduction)
    target = constant(target)
    if target.shape != logits.shape or logits.ndim < 2:
        raise ValueError(
            f"cross_entropy: a target of floats holds a probability for each class, and has shape "
            f"{target.shape}; it must be that of the logits, {logits.shape}"
        )
    check_number("cross_entropy", "label_smoothing", label_smoothing, 0, 1)
    classes = logits.shape[1]
    if weight is not None:
        check_class_count("cross_entropy", weight, classes)
    q = target.astype(logits.dtype)
    if label_smoothing > 0:
        q = q * (1.0 - label_smoothing) + label_smoothing / classes
    if weight is not None:
        q = q * constant(weight).astype(logits.dtype).reshape(classes, *(1,) * (logits.ndim - 2))
    losses = -(q * log_softmax(logits, 1)).sum(1)
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def _log_probs(array: Any, source: Node | Tensor) -> Tensor:
    """Return the log-probabilities that were kept as what they are: log softmax of the scores."""
    scores = with_history(array, [0], source)  # of these, only where they came from is used
    return record_log_softmax(array, scores, 1)


def _cross_entropy_backward(dloss: Tensor, log_probs: Tensor, options: dict[str, Any]) -> Tensor:
    """Return ``(softmax(z) sum(q) - q) dloss``, by recorded operations; see `ops.cross_entropy`."""
    xp, p = get_xp(log_probs.data), log_probs.exp()
    # What the targets put on each class, and the divisor of a mean: where all probabilities are 0,
    # the gradient is -q.
    nowhere = xp.full_like(log_probs.data, -xp.inf)
    ones = xp.ones_like(dloss.data)
    q = -ops.cross_entropy_backward(ones, nowhere, **options)
    if options["reduction"] == "none":
        dloss = dloss.reshape(dloss.shape[0], 1, *dloss.shape[1:])
    return (p * q.sum(axis=1, keepdims=True) - q) * dloss
