"""Losses on labels besides cross entropy: the negative log-likelihood, focal loss and Dice loss.

    (N, C, ...) x labels (N, ...)  ->  ()  or, for reduction "none", (N, ...)

As for `cross_entropy`, a pixel labelled `ignore_index` has no loss and no gradient, "mean" divides
by the sum of the weights of the pixels that count, and over no pixel it is 0.
"""

from __future__ import annotations

from typing import Any

from minideconv.autograd import Tensor, elementwise
from minideconv.autograd.broadcasting import as_tensor
from minideconv.backend import Array, get_xp
from minideconv.backend.checks import check_number
from minideconv.backend.dispatch import device_guard
from minideconv.functional.arguments import no_tensor, widened
from minideconv.functional.elementwise_losses import Reduction, check_reduction
from minideconv.functional.pointwise import log_softmax, softmax
from minideconv.ops.cross_entropy_checks import (
    check_class_count,
    check_ignore_index,
    check_labels,
    check_weight,
)

__all__ = ["dice_loss", "focal_loss", "nll_loss"]


@device_guard
def nll_loss(
    input: Tensor,
    target: Any,
    weight: Any = None,
    ignore_index: int = 255,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return ``-w[t] input[t]`` for log-probabilities `input` and labels t.

    ``cross_entropy(z, t)`` is ``nll_loss(log_softmax(z, 1), t)`` in one operation.
    """
    if not isinstance(input, Tensor):
        raise no_tensor("nll_loss", input=input)
    _check_options("nll_loss", input, weight, reduction)
    labels, counts = _labels("nll_loss", input, target, ignore_index)
    losses = -_at_labels(widened(input), labels)
    loss = _reduced(losses, labels, counts, weight, reduction, target)
    return loss.astype(input.dtype)


@device_guard
def focal_loss(
    logits: Tensor,
    target: Any,
    gamma: float = 2.0,
    weight: Any = None,
    ignore_index: int = 255,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return ``-w[t] (1 - p)^gamma log(p)``, p = softmax(logits)[t]: easy pixels count less.

    Lin et al., "Focal loss for dense object detection" (2017), equation 5; w is its alpha. With
    ``gamma=0`` it is cross entropy.
    """
    if not isinstance(logits, Tensor):
        raise no_tensor("focal_loss", logits=logits)
    check_number("focal_loss", "gamma", gamma, 0)
    _check_options("focal_loss", logits, weight, reduction)
    labels, counts = _labels("focal_loss", logits, target, ignore_index)
    log_p = _at_labels(log_softmax(widened(logits), 1), labels)
    losses = -log_p
    if gamma > 0:  # where p is 1 the power may have no slope, and the loss is 0 anyway
        losses = losses * (1.0 - log_p.exp()).clip(1e-12) ** gamma
    loss = _reduced(losses, labels, counts, weight, reduction, target)
    return loss.astype(logits.dtype)


@device_guard
def dice_loss(logits: Tensor, target: Any, ignore_index: int = 255, smooth: float = 1.0) -> Tensor:
    """Return 1 less the mean over the classes of ``(2 sum(p t) + smooth) / (sum(p + t) + smooth)``.

    p are the classes' probabilities by softmax, t is 1 at the pixels of a class, and the sums run
    over the pixels of all images that count. It is an approximation of the overlap of areas that
    has a gradient, and weighs a small object as much as a large one: Milletari, Navab, Ahmadi,
    "V-Net" (2016), section 3, with p and t in place of their squares.

    Parameters
    ----------
    logits : Tensor, shape (N, C, ...), C >= 2
    target : integer array or Tensor, shape (N, ...)
    ignore_index : int
    smooth : float >= 0
        Added above and below, so that a class that is nowhere has no loss.

    Returns
    -------
    Tensor, shape ()
    """
    if not isinstance(logits, Tensor):
        raise no_tensor("dice_loss", logits=logits)
    check_number("dice_loss", "smooth", smooth, 0)
    labels, counts = _labels("dice_loss", logits, target, ignore_index)
    n, classes = logits.shape[:2]
    if classes < 2:
        raise ValueError(
            f"dice_loss: logits have shape {logits.shape}; there must be two classes at least, "
            "background among them"
        )
    xp = get_xp(logits.data)
    wanted = labels[:, None] == xp.arange(classes)[:, None]
    p = softmax(widened(logits), 1).reshape(n, classes, -1)
    p = elementwise.where(xp.broadcast_to(counts[:, None], p.shape), p, 0.0)
    wanted = (wanted & counts[:, None]).astype(p.dtype)  # (N, C, M)
    overlap = (p * wanted).sum((0, 2))
    areas = p.sum((0, 2)) + wanted.sum((0, 2))
    loss = 1.0 - ((2.0 * overlap + smooth) / (areas + smooth)).mean()
    return loss.astype(logits.dtype)


def _check_options(op: str, scores: Tensor, weight: Any, reduction: Reduction) -> None:
    """Raise unless there is one real weight for each class, or none, and the word is known."""
    check_reduction(op, reduction)
    if weight is not None:
        check_class_count(op, check_weight(op, "weight", weight), *scores.shape[1:2])


def _labels(op: str, scores: Tensor, target: Any, ignore_index: int) -> tuple[Array, Array]:
    """Return the labels (N, M), fit for an index, and which pixels count."""
    check_ignore_index(op, ignore_index)
    array = as_tensor(target).data
    if scores.dtype.kind != "f":
        raise TypeError(f"{op}: the scores have dtype {scores.dtype}; they must be floating point")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{op}: target has dtype {array.dtype}; it must hold integer class labels")
    expected = (scores.shape[0], *scores.shape[2:])
    if scores.ndim < 2 or array.shape != expected:
        raise ValueError(
            f"{op}: target has shape {array.shape} and the scores {scores.shape}; these must be "
            f"(N, C, ...), and need one label per pixel, shape {expected}"
        )
    return check_labels(get_xp(scores.data).asarray(array), scores.shape[1], ignore_index, op)


def _at_labels(scores: Tensor, labels: Array) -> Tensor:
    """Take the score of each pixel's label: (N, C, ...) -> (N, M)."""
    n, m = labels.shape
    xp = get_xp(labels)
    flat = scores.reshape(n, scores.shape[1], m)
    return flat[xp.arange(n)[:, None], labels, xp.arange(m)]


def _reduced(
    losses: Tensor,
    labels: Array,
    counts: Array,
    weight: Any,
    reduction: Reduction,
    target: Any,
) -> Tensor:
    """Weigh the pixels' losses (N, M) by their classes, and add them up."""
    losses = elementwise.where(counts, losses, 0.0)
    weights = counts.astype(losses.dtype)
    if weight is not None:
        each = as_tensor(weight).data.astype(losses.dtype)[labels]
        losses, weights = losses * each, weights * each
    if reduction == "none":
        return losses.reshape(as_tensor(target).shape)
    total = losses.sum()
    if reduction == "mean":
        divisor = float(weights.sum())
        total = total / (divisor if divisor > 0 else 1.0)
    return total
