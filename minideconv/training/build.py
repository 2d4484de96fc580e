"""From settings to objects: the network, its optimiser and its learning-rate schedule."""

from __future__ import annotations

from typing import Any

from minideconv import models, optim
from minideconv.nn import Module
from minideconv.settings.run import OptimizationSettings
from minideconv.settings.setting import refusal
from minideconv.training.config import TrainConfig

__all__ = ["model", "optimizer", "schedule"]


def model(config: TrainConfig, outputs: int) -> Any:
    """Build the network; its weights come from the global random generator.

    `outputs` are the channels of its output.

    Raises
    ------
    UsageError
        If the network refuses the sizes.
    """
    try:
        return models.build(config.model, config.model_arguments(outputs))
    except ValueError as error:
        problem = f"{config.model}: {error}"
        raise refusal(lambda name: f"{name('model')} {problem}") from error


def optimizer(config: OptimizationSettings, network: Module, lr: float) -> Any:
    """Build the optimiser: weight decay on the weights of convolutions only.

    Biases and batch norm's scale and shift are left alone: pulling those towards zero does not
    make the function simpler.
    """
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        nesterov = config.nesterov and config.momentum > 0
        return optim.SGD(groups, lr=lr, momentum=config.momentum, nesterov=nesterov)
    if config.optimizer == "adam":
        return optim.Adam(groups, lr=lr)
    return optim.AdamW(groups, lr=lr)


def schedule(
    config: OptimizationSettings, optimiser: Any, steps: int, higher_is_better: bool
) -> Any:
    """Build the learning-rate schedule of a stage of so many steps, warm-up included.

    The warm-up takes at most a fifth of the stage, so that a short run still gets to its rate.
    `higher_is_better` is about the metric whose plateau lowers the rate of "plateau".
    """
    if config.lr_schedule == "plateau":
        mode = "max" if higher_is_better else "min"
        return optim.ReduceLROnPlateau(optimiser, mode=mode, patience=3)
    warmup = min(config.warmup, steps // 5)
    rest = max(1, steps - warmup)
    after: optim.Schedule
    if config.lr_schedule == "step":
        after = optim.MultiStepLR(optimiser, [round(0.45 * rest), round(0.9 * rest)])
    elif config.lr_schedule == "poly":
        after = optim.PolyLR(optimiser, rest, power=0.9)
    elif config.lr_schedule == "cosine":
        after = optim.CosineLR(optimiser, rest)
    else:
        after = optim.FixedLR(optimiser)
    return optim.WarmUp(after, warmup, start_factor=0.1)
