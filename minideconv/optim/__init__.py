"""Optimisers and learning-rate schedules: what happens between a gradient and the next weight."""

from __future__ import annotations

from minideconv.autograd.other_names import refusing
from minideconv.optim import lr_scheduler
from minideconv.optim.adagrad import Adagrad
from minideconv.optim.adam import Adam, AdamW
from minideconv.optim.grad_scaler import GradScaler
from minideconv.optim.optimizer import Optimizer
from minideconv.optim.plateau import ReduceLROnPlateau
from minideconv.optim.rmsprop import RMSprop
from minideconv.optim.schedules import (
    CosineLR,
    ExponentialLR,
    FixedLR,
    LambdaLR,
    MultiStepLR,
    PolyLR,
    Schedule,
    StepLR,
)
from minideconv.optim.sgd import SGD
from minideconv.optim.warm_up import WarmUp

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "CosineLR",
    "ExponentialLR",
    "FixedLR",
    "GradScaler",
    "LambdaLR",
    "MultiStepLR",
    "Optimizer",
    "PolyLR",
    "RMSprop",
    "ReduceLROnPlateau",
    "Schedule",
    "StepLR",
    "WarmUp",
    "lr_scheduler",
]

__getattr__ = refusing(__name__)
