"""Losses as modules: each keeps the options of its function in `functional`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.backend.checks import check_number
from minideconv.functional.elementwise_losses import check_reduction
from minideconv.nn.module import Module
from minideconv.ops.cross_entropy_checks import (
    check_class_count,
    check_ignore_index,
    check_weight,
)

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
]


def _check_weights(name: str) -> Callable[[str, Any], None]:
    def check(op: str, weight: Any) -> None:
        if weight is not None:
            check_weight(op, name, weight)

    return check


_CHECKS: dict[str, Callable[[str, Any], object]] = {
    "gamma": lambda op, value: check_number(op, "gamma", value, 0),
    "ignore_index": check_ignore_index,
    "label_smoothing": lambda op, value: check_number(op, "label_smoothing", value, 0, 1),
    "pos_weight": _check_weights("pos_weight"),
    "reduction": check_reduction,
    "smooth": lambda op, value: check_number(op, "smooth", value, 0),
    "weight": _check_weights("weight"),
}
"""What each option of a loss must be, so that a wrong one is refused when the module is made."""


class _Loss(Module):
    """Calls a function of an input and a target with the options that the module was made with."""

    function: Callable[..., Tensor]

    def __init__(self, **options: Any) -> None:
        super().__init__()
        name = type(self).__name__
        for option, value in options.items():
            _CHECKS[option](name, value)
        if "ignore_index" in options and options.get("weight") is not None:
            check_class_count(name, options["weight"])  # losses on labels weigh classes
        self.options = options

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """Return the loss of `input` against `target`."""
        return type(self).function(input, target, **self.options)

    def extra_repr(self) -> str:
        """Return the options."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


class CrossEntropyLoss(_Loss):
    """`F.cross_entropy` of scores and labels, or of scores and the classes' probabilities."""

    function = staticmethod(F.cross_entropy)

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = 255,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            weight=weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )


class NLLLoss(_Loss):
    """`F.nll_loss` of log-probabilities and labels."""

    function = staticmethod(F.nll_loss)

    def __init__(
        self, weight: Any = None, ignore_index: int = 255, reduction: str = "mean"
    ) -> None:
        super().__init__(weight=weight, ignore_index=ignore_index, reduction=reduction)


class FocalLoss(_Loss):
    """`F.focal_loss` of scores and labels."""

    function = staticmethod(F.focal_loss)

    def __init__(
        self,
        gamma: float = 2.0,
        weight: Any = None,
        ignore_index: int = 255,
        reduction: str = "mean",
    ) -> None:
        super().__init__(gamma=gamma, weight=weight, ignore_index=ignore_index, reduction=reduction)


class DiceLoss(_Loss):
    """`F.dice_loss` of scores and labels."""

    function = staticmethod(F.dice_loss)

    def __init__(self, ignore_index: int = 255, smooth: float = 1.0) -> None:
        super().__init__(ignore_index=ignore_index, smooth=smooth)


class MSELoss(_Loss):
    """`F.mse_loss`: squared differences."""

    function = staticmethod(F.mse_loss)

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class L1Loss(_Loss):
    """`F.l1_loss`: absolute differences."""

    function = staticmethod(F.l1_loss)

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class BCELoss(_Loss):
    """`F.binary_cross_entropy` of probabilities and targets in 0..1."""

    function = staticmethod(F.binary_cross_entropy)

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(weight=weight, reduction=reduction)


class BCEWithLogitsLoss(_Loss):
    """`F.binary_cross_entropy_with_logits` of scores and targets in 0..1."""

    function = staticmethod(F.binary_cross_entropy_with_logits)

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(weight=weight, reduction=reduction, pos_weight=pos_weight)
