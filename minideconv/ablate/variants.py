"""Which parts of DeconvNet and of its training are taken away or replaced: `ABLATIONS`.

Each variant is trained from the start without the part. To erase a part from a network that was
trained with it shows something else: how far the other layers rely on it, not what it is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minideconv import tasks
from minideconv.errors import UsageError
from minideconv.settings.setting import refusal
from minideconv.training.config import TrainConfig
from minideconv.training.stages import Plan

__all__ = [
    "ABLATIONS",
    "DECIDED",
    "Ablation",
    "Variant",
    "configurations",
    "equal_updates",
    "run_name",
]


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes
    ----------
    name : str
    label : str
        What the table calls it; ``{fc}`` stands for the value of that setting.
    change : callable
        From the settings of the set to those that this variant has instead.
    """

    name: str
    label: str
    change: Callable[[TrainConfig], dict[str, Any]] = lambda base: {}


@dataclass(frozen=True)
class Ablation:
    """Variants that differ in one thing; the first is the one that the others are compared with."""

    title: str
    variants: tuple[Variant, ...]


def _two_stages(base: TrainConfig) -> dict[str, Any]:
    if base.epochs < 2:
        raise refusal(lambda name: f"{name('epochs')} is {base.epochs}; two stages need at least 2")
    first = base.epochs // 2
    return {"stage": "both", "epochs": first, "epochs_stage2": base.epochs - first}


def _narrow(base: TrainConfig) -> dict[str, Any]:
    return {"fc": max(1, base.fc // 8)}


ABLATIONS: dict[str, Ablation] = {
    "stages": Ablation(
        "stages of training",
        (
            Variant("two", "two: crops of single objects, then of all (the paper's)", _two_stages),
            Variant("one", "one: crops of all", lambda base: {"stage": "2"}),
            Variant("whole", "one: whole images"),
        ),
    ),
    "batch-norm": Ablation(
        "batch normalisation",
        (
            Variant("all", "everywhere (the paper's)"),
            Variant("none", "nowhere", lambda base: {"batch_norm": "none"}),
            Variant(
                "none-lower-lr",
                "nowhere, learning rate {lr:g}",
                lambda base: {"batch_norm": "none", "lr": base.lr / 10},
            ),
        ),
    ),
    "upsampling": Ablation(
        "upsampling",
        (
            Variant("switches", "unpooling by switches (the paper's)"),
            Variant("fixed", "unpooling to fixed pixels", lambda base: {"upsampling": "fixed"}),
            Variant("bilinear", "bilinear", lambda base: {"upsampling": "bilinear"}),
            Variant(
                "learned",
                "learned transposed convolution, stride 2",
                lambda base: {"upsampling": "learned"},
            ),
        ),
    ),
    "bottleneck": Ablation(
        "channels of fc6 and fc7",
        (
            Variant("same", "{fc}"),
            Variant("eighth", "{fc}", _narrow),
            Variant("quadruple", "{fc}", lambda base: {"fc": 4 * base.fc}),
        ),
    ),
}
"""The ablations by name."""

DECIDED = ("model", "stage", "epochs_stage2", "lr_stage2", "batch_norm", "upsampling")
"""Settings that the variants decide, so that a set cannot."""


def run_name(ablation: str, variant: Variant, base: TrainConfig) -> str:
    """Return what the runs of a variant are called: those without a change are shared."""
    return f"{ablation}-{variant.name}" if variant.change(base) else "base"


def configurations(base: TrainConfig, names: Sequence[str]) -> dict[str, TrainConfig]:
    """Return the settings of all runs of some ablations, by `run_name`.

    Raises
    ------
    UsageError
        If a variant cannot be made of these settings.
    """
    found: dict[str, TrainConfig] = {}
    for name in names:
        for variant in ABLATIONS[name].variants:
            config = TrainConfig.from_dict({**base.to_dict(), **variant.change(base)})
            found[run_name(name, variant, base)] = config
    return found


def equal_updates(
    configs: Mapping[str, TrainConfig],
) -> dict[str, TrainConfig]:
    """Limit all epochs to as many steps as the shortest has, so that all runs have as many updates.

    A pass over the crops of stage 1 has another length than one over those of stage 2, or over the
    images. With `epoch_steps` each epoch shows a part of its data, drawn anew.

    Raises
    ------
    UsageError
        If `epoch_steps` is more than the shortest pass has.
    """
    first = next(iter(configs.values()))
    kind = tasks.get(first.task)
    data = kind.dataset(first, first.train_split, first.train_images)
    task = kind.from_config(first, data)
    passes: dict[str, int] = {}
    for config in configs.values():
        if config.stage not in passes:
            plan = Plan(TrainConfig.from_dict({**config.to_dict(), "epoch_steps": 0}), task, data)
            passes[config.stage] = min(stage.steps_per_epoch for stage in plan.stages)
    shortest = min(passes.values())
    if first.epoch_steps > shortest:
        raise refusal(
            lambda name: (
                f"{name('epoch_steps')} is {first.epoch_steps}, but the shortest pass over the"
                f" data has {shortest} steps; it must be at most that for equal updates"
            ),
            UsageError,
        )
    steps = first.epoch_steps or shortest
    return {
        name: TrainConfig.from_dict({**config.to_dict(), "epoch_steps": steps})
        for name, config in configs.items()
    }
