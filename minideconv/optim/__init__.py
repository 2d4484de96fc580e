"""Optimisers and learning-rate schedules: what happens between a gradient and the next weight."""

from __future__ import annotations

from minideconv.optim.adam import Adam, AdamW
from minideconv.optim.grad_scaler import GradScaler
from minideconv.optim.optimizer import Optimizer
from minideconv.optim.plateau import ReduceLROnPlateau
from minideconv.optim.schedules import (
    CosineLR,
    FixedLR,
    MultiStepLR,
    PolyLR,
    Schedule,
    StepLR,
    WarmUp,
)
from minideconv.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineLR",
    "FixedLR",
    "GradScaler",
    "MultiStepLR",
    "Optimizer",
    "PolyLR",
    "ReduceLROnPlateau",
    "Schedule",
    "StepLR",
    "WarmUp",
]
