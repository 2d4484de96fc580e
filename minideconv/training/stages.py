"""The stages of a run: which epochs belong to which, and all that moves within one.

The paper trains in two stages, easy examples first, each with a solver of its own: its learning
rate starts afresh and its momentum from nothing. `Plan` holds them in order; a `Stage` is the one
under way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from minideconv.errors import CheckpointError
from minideconv.optim import GradScaler, WarmUp
from minideconv.settings.run import OptimizationSettings
from minideconv.settings.setting import refusal
from minideconv.tasks import Metrics, Task
from minideconv.training import build
from minideconv.training.config import TrainConfig
from minideconv.training.meters import LossMeter

__all__ = ["Plan", "PlannedStage", "Stage"]


@dataclass(frozen=True)
class PlannedStage:
    """One stage as planned: its name, its number of epochs, its learning rate and its data."""

    name: str
    epochs: int
    lr: float
    loader: Any
    steps_per_epoch: int


class Plan:
    """The stages that have epochs, in order.

    Parameters
    ----------
    config : TrainConfig
        Its `TrainConfig.plan` names the stages; the task reads what is about data and batches.
    task : Task
        Makes their samples and loaders.
    data : data set
        What the samples are made from.
    options
        How the loaders hand out batches: further arguments of `Task.loader`.
    """

    def __init__(self, config: TrainConfig, task: Task, data: Any, **options: Any) -> None:
        self.stages: list[PlannedStage] = []
        for name, epochs, lr in config.plan:
            if epochs > 0:
                samples = task.samples(config, data, name)
                _check_count(config, name, len(samples) * config.repeats)
                loader = task.loader(config, samples, config.seed, **options)
                steps = math.ceil(len(loader) / config.accumulate)
                steps = min(steps, config.epoch_steps or steps)
                self.stages.append(PlannedStage(name, epochs, lr, loader, steps))

    @property
    def epochs(self) -> int:
        """Epochs of the whole run."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return sum(stage.epochs * stage.steps_per_epoch for stage in self.stages)

    def close(self) -> None:
        """End what the loaders have started."""
        for stage in self.stages:
            stage.loader.close()

    def find(self, epoch: int) -> tuple[int, int]:
        """Return the number of the stage that holds `epoch`, and the stage's own epoch."""
        for number, stage in enumerate(self.stages):
            if epoch < stage.epochs:
                return number, epoch
            epoch -= stage.epochs
        raise IndexError(f"the plan has {self.epochs} epochs")


def _check_count(config: TrainConfig, stage: str, count: int) -> None:
    if count >= config.batch_size:
        return
    where = "" if config.stage == "whole" else f" of stage {stage}"
    raise refusal(
        lambda name: (
            f"{name('batch_size')} is {config.batch_size}, but {count} samples{where} make no full"
            f" batch of {config.batch_size}; use a smaller one, or more samples by"
            f" {name('train_images')} or {name('repeats')}"
        )
    )


@dataclass
class Stage:
    """One stage under way. `state_dict` is what a resumed run needs besides the weights."""

    number: int
    planned: PlannedStage
    optimizer: Any
    schedule: Any
    metrics: Metrics
    """Of the training batches of this epoch, as they were predicted while the weights moved."""
    lr: float
    """The rate of the step taken last."""
    scaler: GradScaler | None = None
    """Keeps small gradients above what fp16 can hold; None in every other precision."""
    loss: LossMeter = field(default_factory=LossMeter)
    loader_state: dict[str, Any] | None = None
    """Where the loader stood behind the last batch in use, if it has prepared further ones."""

    @classmethod
    def begin(
        cls, config: OptimizationSettings, plan: Plan, number: int, model: Any, task: Task
    ) -> Stage:
        """Begin a stage with an optimiser of its own."""
        planned = plan.stages[number]
        optimizer = build.optimizer(config, model, planned.lr)
        steps = planned.epochs * planned.steps_per_epoch
        schedule = build.schedule(config, optimizer, steps, task.main_metric.higher_is_better)
        return cls(number, planned, optimizer, schedule, task.metrics(), planned.lr)

    @property
    def name(self) -> str:
        """``"1"``, ``"2"`` or ``"whole"``."""
        return self.planned.name

    @property
    def loader(self) -> Any:
        """The stage's data."""
        return self.planned.loader

    def start_epoch(self, epoch: int) -> None:
        """Go to the first batch of one of the stage's epochs."""
        self.loader.set_epoch(epoch)
        self.loader_state = None
        self.loss.start_epoch()
        self.metrics.counts[...] = 0

    def state_dict(self) -> dict[str, Any]:
        """Return optimiser, schedule, position in the data and running metrics.

        The momenta are not copied: they are to be written down before the next step.
        """
        return {
            "number": self.number,
            "optimizer": self.optimizer.state_dict(copy=False),
            "schedule": self.schedule.state_dict(),
            "loader": self.loader_state or self.loader.state_dict(),
            "loss": self.loss.state_dict(),
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "lr": self.lr,
            "metrics": self.metrics.counts,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned in this stage; another stage's state is left alone.

        A checkpoint written at a boundary is of the stage before; the new one starts fresh, as it
        would have without the stop.

        Raises
        ------
        CheckpointError
            If the state is of another optimiser or learning-rate schedule.
        UsageError
            If it is of other data.
        """
        if state["number"] == self.number:
            try:
                self.optimizer.load_state_dict(state["optimizer"])
                self.schedule.load_state_dict(state["schedule"])
                self.schedule.load_state_dict(self._in_this_plan(state["schedule"]))
                if self.scaler is not None and state.get("scaler"):
                    self.scaler.load_state_dict(state["scaler"])
                # The older name is of before there were several tasks.
                counts: Any = state.get("metrics", state.get("confusion"))
                if (there := counts.shape) != (here := self.metrics.counts.shape):
                    raise ValueError(f"its metrics have shape {there}, and here {here}")
                self.metrics.counts[...] = counts
            except (TypeError, ValueError) as error:
                raise CheckpointError(
                    f"the checkpoint does not fit the settings of this run: {error}"
                ) from error
            self.loader.load_state_dict(state["loader"])
            self.loss.load_state_dict(state["loss"])
            self.lr = state["lr"]

    def _in_this_plan(self, saved: dict[str, Any]) -> dict[str, Any]:
        """Return a schedule's state, which it has taken, as it is in a run of this many epochs.

        The warm-up of a short stage is shorter, so what is behind it is at another step there.
        """
        if not isinstance(self.schedule, WarmUp) or "schedule.last_step" not in saved:
            return saved
        behind = max(0, int(saved["last_step"]) - self.schedule.total_iters)
        return {**saved, "schedule.last_step": behind}
