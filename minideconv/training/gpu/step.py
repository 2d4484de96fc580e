"""One optimiser step on a GPU: `DeviceStep`, `training.step` by a host that never waits.

    the host            fetches a batch's block, sends it, starts the work, goes on to the next one
    the copying stream  brings the block to the device              (`feeder`, `engine.cuda.pinned`)
    the computing one   normalises the bytes; forward, the task's loss, backward; the update

What a GPU is told to do, it does later. To ask it for a number is to wait for everything before,
and while the host waits, it prepares nothing. So a step asks for nothing: the loss and the sums of
the metrics stay on the device (`metrics`) and are read every few steps; wrong targets are counted
there; the learning rate goes there with the batch. Nothing is allocated either, once the first
steps have made what steps need. What is left is a fixed list of kernels on fixed addresses, and
that can be recorded (`graphs`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minideconv import random
from minideconv.autograd import Tensor
from minideconv.backend import Array
from minideconv.engine.cuda import checks, images, memory
from minideconv.engine.cuda.pinned import Lane
from minideconv.errors import TrainingError
from minideconv.nn.utils import clip_grad_norm_, get_buffers, set_buffers
from minideconv.optim import GradScaler
from minideconv.tasks import Task
from minideconv.training.config import TrainConfig
from minideconv.training.gpu.feeder import Feeder, Layout
from minideconv.training.gpu.graphs import Replays
from minideconv.training.gpu.memory import DeviceMemory
from minideconv.training.gpu.metrics import DeviceFigures
from minideconv.training.gpu.out_of_memory import explain, forget_frames, largest_batch, where
from minideconv.training.processes import Alone
from minideconv.training.run.journal import Journal
from minideconv.training.stages import Stage

__all__ = ["DeviceStep"]

_MOST_UNREAD = 1000
"""Steps at most whose losses wait on the device."""


class DeviceStep:
    """Takes the steps of a run on the current device.

    Parameters
    ----------
    model : Module
        The network, on the device.
    task : Task
        From outputs to a loss and metrics.
    config : TrainConfig
        Says how gradients are made and limited.
    journal : Journal
        Its clock measures the wait for data.
    memory : DeviceMemory
        Looks at every step.
    exchange : Alone
        What the processes of the run tell each other.
    """

    def __init__(
        self,
        model: Any,
        task: Task,
        config: TrainConfig,
        journal: Journal,
        memory: DeviceMemory,
        exchange: Alone,
    ) -> None:
        self.model, self.task, self.config = model, task, config
        self.journal, self.memory, self.exchange = journal, memory, exchange
        steps = min(config.print_freq, _MOST_UNREAD)
        self._figures = DeviceFigures(task.metrics().counts, steps)
        # A sum over processes inside a recorded piece would wait where nobody sees it.
        choice = config.graph if exchange.part[1] == 1 else "off"
        self._replays = Replays(choice, lambda: memory.step_bytes, journal.say)
        memory.recorded = lambda: self._replays.nbytes
        self._unread: list[tuple[int, float]] = []  # steps and their learning rates
        self._rehearsed = False
        self._stage: Stage | None = None
        self._optimizer: Any = None
        self._gradients: list[Tensor | None] = []
        self._scaler: GradScaler | None = None
        self._lane: Lane | None = None
        self._feeder: Feeder | None = None

    # -- From epoch to epoch --------------------------------------------------------------------

    def begin(self, stage: Stage) -> None:
        """Begin an epoch, or go on with one that was resumed."""
        numbers = 1 + 2 * len(stage.optimizer.param_groups)
        if stage is not self._stage:
            self._stage, self._optimizer, self._scaler = stage, stage.optimizer, stage.scaler
            self._gradients = []
            self._replays.forget()
            size = self.config.input_size
            nbytes = Layout(stage.loader.batch_size, size, size, numbers).nbytes
            if self._lane is None or self._lane.current.size < nbytes:
                self._lane = Lane(nbytes)
        assert self._lane is not None
        stage.place = stage.loader.state_dict()  # before the feeder goes ahead
        self._feeder = Feeder(self._lane, stage.loader, numbers, self.task.check)

    def end(self) -> None:
        """End an epoch, or what was done of it."""
        if self._feeder is not None:
            self._feeder.close()
            self._feeder = None

    # -- A step ---------------------------------------------------------------------------------

    def take(self, stage: Stage, count: int) -> int:
        """Take one step from the next `count` batches; return how many images they had.

        Raises
        ------
        TrainingError
            If the device's memory is not enough, or, every few steps, if a loss since the last
            reading was not finite.
        """
        assert self._feeder is not None
        numbers, done = stage.optimizer.next_numbers().ravel(), 0
        with self.memory.step():
            if self.memory.budget is not None and not self._rehearsed:
                self._rehearse(-(-stage.loader.batch_size // self.exchange.part[1]))
                self._rehearsed = True
            for number in range(count):
                block = self.journal.clock.fetch(self._feeder)
                share = self.exchange.share(self.task, block.targets, 1.0 / count)
                self._feeder.send(block, np.append(np.float32(share), numbers))
                stage.place = block.place
                done += block.layout.count
                first, last = number == 0, number == count - 1
                self._run("gradients", self._add_gradient, block.layout, first, last)
            self.exchange.add_gradients(stage.optimizer)
            self._run("update", self._update, block.layout)
        self._unread.append((self.journal.progress.step + 1, stage.lr))
        if len(self._unread) == self._figures.steps:
            self.read(stage)
        return done

    def _add_gradient(self, layout: Layout, first: bool, last: bool) -> None:
        """Add the gradient of the batch that lies in the lane, and its figures."""
        numbers, pixels, targets = self._views(layout)
        share = numbers[0]
        if first:
            self._optimizer.zero_grad()
        else:
            self._take_up_gradients()
        inputs, outputs, loss = self._forward(pixels, targets)
        with checks.deferred():
            self.task.count(self._figures.counts, outputs.data, inputs, targets)
        self._figures.add_loss(loss.data, share, first, last)
        del inputs, outputs  # backward frees what it has passed, and only what nobody else holds
        (loss if self._scaler is None else self._scaler.scale(loss)).backward(share)
        if not self._gradients:
            self._gradients = [p.grad for p in self.model.parameters()]

    def _forward(self, pixels: Array, targets: Array) -> tuple[Array, Tensor, Tensor]:
        """Return the network's inputs and outputs, and the loss, of a batch of bytes."""
        inputs = images.normalize(pixels, self.task.normalize)
        outputs: Tensor = self.model(Tensor(inputs))
        with checks.deferred():
            loss = self.task.loss(outputs, inputs, targets)
        return inputs, outputs, loss

    def _update(self, layout: Layout) -> None:
        """Change the weights by their gradients."""
        numbers = self._views(layout)[0][1:]
        optimizer, scaler = self._optimizer, self._scaler
        self._take_up_gradients()
        if scaler is not None:
            scaler.unscale_(optimizer)
        if self.config.clip_grad > 0:
            clip_grad_norm_(self.model.parameters(), self.config.clip_grad)
        if scaler is not None:
            scaler.step(optimizer, numbers)
            scaler.update()
        else:
            optimizer.step(numbers)
        optimizer.zero_grad()

    def _take_up_gradients(self) -> None:
        """Let every parameter know its gradient, which a replay wrote without Python seeing it."""
        for parameter, grad in zip(self.model.parameters(), self._gradients, strict=False):
            parameter.grad = grad

    def _views(self, layout: Layout) -> tuple[Array, Array, Array]:
        assert self._lane is not None
        return layout.view(self._lane.current)

    def _run(self, name: str, work: Callable[..., None], layout: Layout, *options: bool) -> None:
        """Do a piece of the step, or replay it."""
        piece, state = (name, layout, options), getattr(self.model, "recompute", None)
        failed = self._try(lambda: self._replays.run(piece, state, partial(work, layout, *options)))
        if failed is not None:
            raise TrainingError(self._too_little(*failed, layout.count))

    # -- The figures ----------------------------------------------------------------------------

    def read(self, stage: Stage) -> None:
        """Bring the figures of `stage` up to date: the only time that the host waits.

        Raises
        ------
        TrainingError
            If a loss was not finite.
        ValueError
            If a target was wrong.
        """
        if not self._unread:
            return
        checks.raise_deferred()
        losses, counts = self._figures.read()
        losses, unread = self.exchange.add_up(losses), self._unread
        stage.metrics.counts += self.exchange.add_up(counts)
        self._unread = []
        for loss, (step, lr) in zip(losses.tolist(), unread, strict=True):
            if not math.isfinite(loss):
                raise self.journal.not_finite(f"the loss ({loss})", step, lr)
            stage.loss.add(loss)

    # -- When memory is not enough --------------------------------------------------------------

    def _rehearse(self, count: int) -> None:
        """With a budget: see whether a step fits, and compute activations twice if it does not."""
        failed = self._try(lambda: self._trial(count))
        if self.exchange.most(failed is not None) and not getattr(self.model, "recompute", True):
            self.model.recompute = True
            self.journal.say(
                f"memory: a step asked for more than --memory-budget {self.config.memory_budget} "
                "has; from now on activations are computed twice instead of kept (--recompute)"
            )
            failed = self._try(lambda: self._trial(count))
        if failed is not None:
            raise TrainingError(self._too_little(*failed, count))

    def _try(self, work: Callable[[], Any]) -> tuple[str, int] | None:
        """Call `work`; where memory is not enough, return at what, and how much was asked for."""
        try:
            work()
        except Exception as error:
            asked = memory.bytes_asked(error)
            if asked is None:
                raise
            place = where(error, self.model)
            forget_frames(error)
            return place, asked
        return None

    def _too_little(self, place: str, asked: int, count: int) -> str:
        """Return what to say about a step with `count` images; measures what would fit."""
        self._replays.forget()
        self._optimizer.zero_grad()
        memory.release()
        room = memory.room_on_device()
        fits, twice = largest_batch(self._trial, count, room), 0
        if not getattr(self.model, "recompute", True):
            self.model.recompute = True
            try:
                twice = largest_batch(self._trial, count + 1, room)
            finally:
                self.model.recompute = False
        size = self.exchange.part[1]  # the user's batch is that of all processes
        return explain(place, asked, room, count * size, fits * size, twice * size)

    def _trial(self, count: int) -> int:
        """Compute the gradient of `count` black images; return the most bytes that arrays had."""
        assert self._lane is not None
        size = self.config.input_size
        self._lane.current.fill(0)
        _, pixels, targets = Layout(count, size, size, 1).view(self._lane.current)
        buffers, chance = get_buffers(self.model), random.get_state()
        try:
            with memory.measured() as peak, self.exchange.apart(self.model):
                self._forward(pixels, targets)[2].backward()
        finally:
            self._optimizer.zero_grad()
            set_buffers(self.model, buffers)
            random.set_state(chance)
        return peak.nbytes
