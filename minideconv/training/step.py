"""One optimiser step, with the numbers in the memory of the CPU: `HostStep`.

    for each of the step's batches:  outputs, loss = task.training_loss(model, inputs, targets)
                                     gradients += d (weight * loss) / d weights
    weights = optimiser(weights, gradients)

This is the readable step; `gpu.step` is the same one on a GPU, where it may not wait.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minideconv.autograd import Tensor
from minideconv.backend import Array
from minideconv.nn.utils import clip_grad_norm_
from minideconv.tasks import Metrics, Task
from minideconv.training.config import TrainConfig
from minideconv.training.data_parallel import SingleProcess
from minideconv.training.memory_watch import MemoryWatch
from minideconv.training.run.journal import Journal
from minideconv.training.stages import Stage

__all__ = ["HostStep", "TrainingStep"]


@dataclass(eq=False)
class TrainingStep:
    """What takes the steps of a run, on any device.

    Parameters
    ----------
    model : Module
        The network; it is in training mode during a step.
    task : Task
        From outputs to a loss and metrics.
    config : TrainConfig
        Says how gradients are made and limited.
    journal : Journal
        Its clock measures the wait for data.
    memory : MemoryWatch or DeviceMemory
        Looks at every step.
    strategy : SingleProcess
        How the processes of the run share a step.
    """

    model: Any
    task: Task
    config: TrainConfig
    journal: Journal
    memory: Any
    strategy: SingleProcess

    def __post_init__(self) -> None:
        """Make what the steps need; `DeviceStep` does."""


class HostStep(TrainingStep):
    """Takes the steps of a run on the CPU."""

    memory: MemoryWatch
    _batches: Iterator[tuple[Array, Array]] = iter(())

    def begin(self, stage: Stage) -> None:
        """Begin an epoch, or go on with one that was resumed."""
        self._batches = iter(stage.loader)

    def take(self, stage: Stage, count: int) -> None:
        """Take one step from the next `count` batches.

        Raises
        ------
        TrainingError
            If the loss is not finite; the weights are then as they were.
        """
        loss, images = 0.0, 0
        metrics = self.task.metrics()
        self.memory.begin_step()
        for _ in range(count):
            inputs, targets = self._fetch(stage)
            weight = self.strategy.loss_weight(self.task, targets, 1.0 / count)
            loss += self._backward(metrics, inputs, targets, weight)
            images += len(inputs)
        # All metrics in one message; whole numbers stay exact up to 2^53.
        loss, *counts = self.strategy.all_reduce_sum(np.append(loss, metrics.counts)).tolist()
        if not math.isfinite(loss):
            step = self.journal.progress.step + 1
            raise self.journal.not_finite(f"the loss ({loss})", step, stage.lr)
        self.strategy.all_reduce_gradients(stage.optimizer)
        if self.config.clip_grad > 0:
            clip_grad_norm_(self.model.parameters(), self.config.clip_grad)
        stage.optimizer.step()
        stage.optimizer.zero_grad()  # now, so that the next forward has their memory
        self.memory.end_step(max(1, images // count))
        stage.loss.add(loss if any(counts) else None)
        kind = metrics.counts
        stage.metrics.counts += np.array(counts, kind.dtype).reshape(kind.shape)

    def _fetch(self, stage: Stage) -> tuple[Array, Array]:
        """Return the next batch."""
        batch: tuple[Array, Array] = self.journal.clock.fetch(self._batches)
        return batch

    def forward(self, inputs: Array, targets: Array) -> tuple[Tensor, Tensor]:
        """Return what the network makes of a batch, and the loss."""
        return self.task.training_loss(self.model, Tensor(inputs, device="cpu"), targets)

    def _backward(self, metrics: Metrics, inputs: Array, targets: Array, weight: float) -> float:
        """Add one batch's gradient, weighted by `weight`; return its part of the loss."""
        outputs, loss = self.forward(inputs, targets)
        self.memory.forward_done()
        self.task.count(metrics.counts, outputs.data, inputs, targets)
        del outputs  # backward frees what it has passed, and only what nothing else holds
        (loss * weight).backward()
        return float(loss.item()) * weight

    def read(self, stage: Stage) -> None:
        """Bring the metrics of `stage` up to date: here they always are."""

    def end(self) -> None:
        """End an epoch, or what was done of it: the threads that prepare batches may rest."""
        self._batches = iter(())

    def close(self, done: bool) -> None:
        """End with what the steps had opened; `done`: the run is at its end."""
