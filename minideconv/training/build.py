"""From settings to objects: the network, its optimiser and its learning-rate schedule."""

from __future__ import annotations

import re
from typing import Any

from minideconv import models, optim
from minideconv.models.trunk import SplitNetwork
from minideconv.nn import Module
from minideconv.settings.run import OptimizationSettings
from minideconv.settings.setting import refusal
from minideconv.training.config import TrainConfig

__all__ = ["model", "optimizer", "schedule"]


def model(config: TrainConfig, outputs: int) -> Any:
    """Build the network, its first stages frozen; its weights come from the global generator.

    `outputs` are the channels of its output.

    Raises
    ------
    UsageError
        If the network refuses the sizes, or has not the stages of VGG-16 that settings are about.
    """
    try:
        network = models.build(config.model, config.model_arguments(outputs))
    except ValueError as error:
        raise _refused(config, str(error)) from error
    except MemoryError as error:
        why = str(error) or "no more is given out"
        raise refusal(
            lambda name: (
                f"{name('model')} {config.model} does not fit into memory with these settings"
                f" ({why}); make the network smaller"
            )
        ) from error
    stages = len(models.stages_of(network))
    if config.freeze > stages:
        raise refusal(
            lambda name: (
                f"{name('freeze')} is {config.freeze}; {config.model} has {stages} stages of"
                f" VGG-16's with these settings, so it must be in 0..{stages}"
            )
        )
    if config.lr_trunk is not None and config.freeze >= stages:
        raise refusal(
            lambda name: (
                f"{name('lr_trunk')} is {config.lr_trunk}, but no convolution of VGG-16's learns:"
                f" {config.model} has {stages} stages of them, and {name('freeze')} is"
                f" {config.freeze}"
            )
        )
    if config.cache_features is not None and not isinstance(network, SplitNetwork):
        raise refusal(
            lambda name: (
                f"{name('cache_features')} is not for {config.model}, which is not computed in two"
                " parts: it has no encode and decode"
            )
        )
    if config.freeze:
        models.freeze(network, config.freeze)
    return network


def _refused(config: TrainConfig, problem: str) -> Exception:
    """Return the error of a builder, whose argument has a setting's name in it if it is one."""
    network, settings = config.network, config.settings(config.model)
    found = re.fullmatch(r"(\w+): (\w+) is (.*?); (.*)", problem, re.DOTALL)
    if found is not None:
        own = {argument: name for name, argument in network.renamed.items()}
        setting = own.get(found[2], found[2])
        if setting in settings:
            return refusal(
                lambda name: (
                    f"{name(setting)} is {found[3]}; with {name('model')} {config.model} {found[4]}"
                )
            )
    return refusal(lambda name: f"{name('model')} {config.model}: {problem}")


def optimizer(config: OptimizationSettings, network: Module, lr: float) -> Any:
    """Build the optimiser: weight decay on the weights of convolutions only.

    Biases and batch norm's scale and shift are left alone: pulling those towards zero does not
    make the function simpler. Parameters that do not learn (``requires_grad``) are left out. The
    trunk's have groups of their own, behind the others, if the settings give it a rate of its own.
    """
    learning = [p for p in network.parameters() if p.requires_grad]
    parts = [(learning, lr)]
    if config.lr_trunk is not None:
        trunk = {id(p) for p in models.trunk_parameters(network)}
        parts = [
            ([p for p in learning if id(p) not in trunk], lr),
            ([p for p in learning if id(p) in trunk], config.lr_trunk),
        ]
    groups: list[dict[str, Any]] = [
        {"params": chosen, "lr": rate, "weight_decay": decay}
        for part, rate in parts
        for chosen, decay in (
            ([p for p in part if p.ndim > 1], config.weight_decay),
            ([p for p in part if p.ndim <= 1], 0.0),
        )
        if chosen
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
