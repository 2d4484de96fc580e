"""Losses between two arrays of one shape: squares, distances, and binary cross entropy.

input, target (...)  ->  () for "mean" and "sum", (...) for "none"
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import numpy as np

from minideconv.autograd import Tensor, elementwise
from minideconv.autograd.broadcasting import as_tensor, constant
from minideconv.backend.checks import check_choice
from minideconv.functional.arguments import no_tensor, widened
from minideconv.functional.nonlinear import softplus
from minideconv.ops.cross_entropy_checks import check_weight

__all__ = [
    "Reduction",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "check_reduction",
    "l1_loss",
    "mse_loss",
]

Reduction: TypeAlias = Literal["mean", "sum", "none"]


def mse_loss(input: Tensor, target: Any, reduction: Reduction = "mean") -> Tensor:
    """Return ``(input - target)^2``, averaged, summed, or each by itself."""
    if not isinstance(input, Tensor):
        raise no_tensor("mse_loss", input=input)
    input, target = _pair("mse_loss", input, target, reduction)
    difference = input - target
    return _reduced(difference * difference, reduction)


def l1_loss(input: Tensor, target: Any, reduction: Reduction = "mean") -> Tensor:
    """Return ``|input - target|``, averaged, summed, or each by itself; its slope at 0 is 0."""
    if not isinstance(input, Tensor):
        raise no_tensor("l1_loss", input=input)
    input, target = _pair("l1_loss", input, target, reduction)
    return _reduced((input - target).abs(), reduction)


def binary_cross_entropy(
    input: Tensor, target: Any, weight: Any = None, reduction: Reduction = "mean"
) -> Tensor:
    """Return ``-t log(p) - (1 - t) log(1 - p)`` for probabilities p and targets t, both in 0..1.

    The logarithms are not below -100, as in PyTorch; where they would be, the gradient is 0. From
    scores, `binary_cross_entropy_with_logits` loses no digits. `weight`, a number for each element
    or what broadcasts to that, multiplies the losses.
    """
    if not isinstance(input, Tensor):
        raise no_tensor("binary_cross_entropy", input=input)
    input, target = _pair("binary_cross_entropy", input, target, reduction)
    if not bool(((input.data >= 0) & (input.data <= 1)).all()):
        raise ValueError(
            "binary_cross_entropy: input must hold probabilities in 0..1; for scores there is "
            "binary_cross_entropy_with_logits"
        )
    if not bool(((target.data >= 0) & (target.data <= 1)).all()):
        raise ValueError("binary_cross_entropy: target must hold numbers in 0..1")
    kind, input, target = input.dtype, widened(input), widened(target)
    yes, no = _log(input), _log(1.0 - input)
    losses = -(target * yes + (1.0 - target) * no)
    losses = _weighted("binary_cross_entropy", losses, weight)
    return _reduced(losses, reduction).astype(kind)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Any,
    weight: Any = None,
    reduction: Reduction = "mean",
    pos_weight: Any = None,
) -> Tensor:
    """Return ``-t log(sigmoid(z)) - (1 - t) log(1 - sigmoid(z))`` for scores z and targets t.

    Since ``-log(sigmoid(z)) = softplus(-z)`` nothing overflows and nothing cancels. `weight`
    multiplies the losses and `pos_weight` their part with t; both broadcast.
    """
    if not isinstance(input, Tensor):
        raise no_tensor("binary_cross_entropy_with_logits", input=input)
    name = "binary_cross_entropy_with_logits"
    input, target = _pair(name, input, target, reduction)
    positive = _weighted(name, target, pos_weight, "pos_weight")
    losses = positive * softplus(-input) + (1.0 - target) * softplus(input)
    return _reduced(_weighted(name, losses, weight), reduction)


def _log(p: Tensor) -> Tensor:
    """Return log(p), and -100 without a slope where that is less, or 1 / p may be too large."""
    least = max(math.exp(-100), float(np.finfo(p.dtype).tiny))
    small = p.data < least
    return elementwise.where(small, -100.0, elementwise.where(small, 1.0, p).log())


def check_reduction(op: str, reduction: str) -> None:
    """Raise ValueError if `reduction` is none of the three."""
    check_choice(op, "reduction", reduction, ("mean", "sum", "none"))


def _pair(op: str, input: Any, target: Any, reduction: str) -> tuple[Tensor, Tensor]:
    """Return both as Tensors, the target in the type of the input."""
    check_reduction(op, reduction)
    input, target = as_tensor(input), constant(target)
    if input.dtype.kind != "f":
        raise TypeError(f"{op}: input has dtype {input.dtype}; it must be floating point")
    if input.shape != target.shape:
        raise ValueError(
            f"{op}: input has shape {input.shape} and target {target.shape}; they must be equal"
        )
    return input, target.astype(input.dtype)


def _weighted(op: str, losses: Tensor, weight: Any, name: str = "weight") -> Tensor:
    """Return the losses times `weight`, which must broadcast to their shape."""
    if weight is None:
        return losses
    weights = constant(check_weight(op, name, weight))
    shape = losses.shape
    pairs = zip(weights.shape[::-1], shape[::-1], strict=False)
    if weights.ndim > losses.ndim or any(n not in (1, there) for n, there in pairs):
        raise ValueError(
            f"{op}: {name} has shape {weights.shape}; it must broadcast to {shape}, that of input"
        )
    return losses * weights


def _reduced(losses: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()
