"""The schedules under the names of PyTorch's module: ``optim.lr_scheduler.StepLR(optimizer, 30)``.

Where two libraries' names differ both are here.
"""

from __future__ import annotations

from minideconv.autograd.other_names import refusing
from minideconv.optim.optimizer import Optimizer
from minideconv.optim.plateau import ReduceLROnPlateau
from minideconv.optim.schedules import (
    CosineLR,
    ExponentialLR,
    LambdaLR,
    MultiStepLR,
    PolyLR,
    StepLR,
)

__all__ = [
    "CosineAnnealingLR",
    "CosineLR",
    "ExponentialLR",
    "LambdaLR",
    "MultiStepLR",
    "PolyLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "StepLR",
]

PolynomialLR = PolyLR


class CosineAnnealingLR(CosineLR):
    """`CosineLR` under PyTorch's name; behind step `T_max` it stays at `eta_min`."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        super().__init__(optimizer, T_max, eta_min)


__getattr__ = refusing(__name__)
