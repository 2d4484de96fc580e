"""Losses as modules: each keeps the options of its function in `functional`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.nn.module import Module

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


class _Loss(Module):
    """Calls a function of an input and a target with the options that the module was made with."""

    function: Callable[..., Tensor]

    def __init__(self, **options: Any) -> None:
        super().__init__()
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
