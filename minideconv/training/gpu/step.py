"""One optimiser step on a GPU: `DeviceStep`, `training.step` by a host that never waits.

    the host            fetches a batch's block, sends it, starts the work, goes on to the next one
    the copying stream  brings the block to the device         (`prefetcher`, `engine.cuda.pinned`)
    the computing one   normalises the bytes; forward, the task's loss, backward; the update

A GPU executes asynchronously. Reading a number from it waits for all work before, and while the
host waits, it prepares nothing. So a step reads nothing: the loss and the sums of the metrics stay
on the device (`metrics`) and are read every few steps; wrong targets are counted there; the
learning rate goes there with the batch. Nothing is allocated either, once the first steps have made
what steps need. What is left is a fixed list of kernels on fixed addresses, and that can be
recorded (`graphs`).
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
from minideconv.engine.cuda.pinned import DoubleBuffer
from minideconv.errors import MinideconvError
from minideconv.nn.utils import clip_grad_norm_, get_buffers, set_buffers
from minideconv.training.gpu.graphs import GraphCache
from minideconv.training.gpu.memory import DeviceMemory
from minideconv.training.gpu.metrics import DeviceMetrics
from minideconv.training.gpu.out_of_memory import explain, forget_frames, largest_batch, where
from minideconv.training.gpu.prefetcher import Layout, Prefetcher
from minideconv.training.stages import Stage
from minideconv.training.step import TrainingStep

__all__ = ["DeviceStep"]

_MOST_UNREAD = 1000
"""Steps at most whose losses wait on the device."""


class DeviceStep(TrainingStep):
    """Takes the steps of a run on the current GPU."""

    memory: DeviceMemory
    _stage: Any = None
    _double_buffer: DoubleBuffer
    _prefetcher: Prefetcher
    _rehearsed = False

    def __post_init__(self) -> None:
        steps = min(self.config.print_freq, _MOST_UNREAD)
        self._metrics = DeviceMetrics(self.task.metrics().counts, steps)
        # A sum over processes inside a recorded piece would wait without a limit.
        choice = self.config.graph if self.strategy.world_size == 1 else "off"
        self._graph_cache = GraphCache(choice, lambda: self.memory.step_bytes, self.journal.log)
        self.memory.recorded = lambda: self._graph_cache.nbytes
        # Steps, their learning rates, and whether a target of theirs counts.
        self._unread: list[tuple[int, float, bool]] = []
        self._gradients: list[Tensor | None] = []

    # -- From epoch to epoch --------------------------------------------------------------------

    def begin(self, stage: Stage) -> None:
        """Begin an epoch, or go on with one that was resumed."""
        numbers = 1 + 2 * len(stage.optimizer.param_groups)
        if stage is not self._stage:
            self._stage, self._gradients = stage, []
            self._graph_cache.forget()
            size = self.config.input_size
            nbytes = Layout(stage.loader.batch_size, size, size, numbers).nbytes
            self._double_buffer = DoubleBuffer(nbytes)
        stage.loader_state = stage.loader.state_dict()  # before the prefetcher goes ahead
        self._prefetcher = Prefetcher(self._double_buffer, stage.loader, numbers, self.task.check)

    def end(self) -> None:
        """End an epoch, or what was done of it."""
        self._prefetcher.close()

    def close(self, done: bool) -> None:
        """End with what the steps had opened: on a GPU nothing that is kept."""

    # -- A step ---------------------------------------------------------------------------------

    def take(self, stage: Stage, count: int) -> None:
        """Take one step from the next `count` batches.

        Raises
        ------
        TrainingError
            If the device's memory is not enough, or, every few steps, if a loss since the last
            reading was not finite.
        """
        numbers = stage.optimizer.next_numbers().ravel()
        with self.memory.step():
            if self.memory.budget is not None and not self._rehearsed:
                self._rehearse(-(-stage.loader.batch_size // self.strategy.world_size))
                self._rehearsed = True
            counted = False
            for number in range(count):
                block = self.journal.clock.fetch(self._prefetcher)
                counted = counted or self.task.weight(block.targets) > 0
                weight = self.strategy.loss_weight(self.task, block.targets, 1.0 / count)
                self._prefetcher.send(block, np.append(np.float32(weight), numbers))
                stage.loader_state = block.loader_state
                first, last = number == 0, number == count - 1
                self._run("gradients", self._add_gradient, block.layout, first, last)
            self.strategy.all_reduce_gradients(stage.optimizer)
            self._run("update", self._update, block.layout)
        self._unread.append((self.journal.progress.step + 1, stage.lr, counted))
        if len(self._unread) == self._metrics.steps:
            self.read(stage)

    def _add_gradient(self, layout: Layout, first: bool, last: bool) -> None:
        """Add the gradient of the batch that is in the double buffer, and its metrics."""
        numbers, pixels, targets = layout.view(self._double_buffer.current)
        weight = numbers[0]
        if first:
            self._stage.optimizer.zero_grad()
        else:
            self._attach_gradients()
        inputs, outputs, loss = self._forward(pixels, targets)
        with checks.deferred():
            self.task.count(self._metrics.counts, outputs.data, inputs, targets)
        self._metrics.add_loss(loss.data, weight, first, last)
        del inputs, outputs  # backward frees what it has passed, and only what nothing else holds
        scaler = self._stage.scaler
        (loss if scaler is None else scaler.scale(loss)).backward(weight)
        if not self._gradients:
            self._gradients = [p.grad for p in self.model.parameters()]

    def _forward(self, pixels: Array, targets: Array) -> tuple[Array, Tensor, Tensor]:
        """Return the network's inputs and outputs, and the loss, of a batch of bytes."""
        inputs = images.normalize(pixels, self.task.normalize)
        with checks.deferred():
            outputs, loss = self.task.training_loss(self.model, Tensor(inputs), targets)
        return inputs, outputs, loss

    def _update(self, layout: Layout) -> None:
        """Change the weights by their gradients."""
        numbers = layout.view(self._double_buffer.current)[0][1:]
        optimizer, scaler = self._stage.optimizer, self._stage.scaler
        self._attach_gradients()
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

    def _attach_gradients(self) -> None:
        """Give every parameter its gradient, which a replay wrote without running Python."""
        for parameter, grad in zip(self.model.parameters(), self._gradients, strict=False):
            parameter.grad = grad

    def _run(self, name: str, work: Callable[..., None], layout: Layout, *options: bool) -> None:
        """Do a piece of the step, or replay it."""
        piece, state = (name, layout, options), getattr(self.model, "recompute", None)
        failed = self._try(
            lambda: self._graph_cache.run(piece, state, partial(work, layout, *options))
        )
        if failed is not None:
            raise self._out_of_memory(*failed, layout.count)

    # -- The metrics ----------------------------------------------------------------------------

    def read(self, stage: Stage) -> None:
        """Bring the metrics of `stage` up to date: the only time that the host waits.

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
        losses, counts = self._metrics.read()
        unread = self._unread
        losses = self.strategy.all_reduce_sum(losses)
        counted = self.strategy.all_reduce_sum(np.array([float(here) for *_, here in unread]))
        stage.metrics.counts += self.strategy.all_reduce_sum(counts)
        self._unread = []
        for loss, (step, lr, _), count in zip(losses.tolist(), unread, counted, strict=True):
            if not math.isfinite(loss):
                raise self.journal.not_finite(f"the loss ({loss})", step, lr)
            stage.loss.add(loss if count else None)

    # -- When memory is not enough --------------------------------------------------------------

    def _rehearse(self, count: int) -> None:
        """With a budget: see whether a step fits, and compute activations twice if it does not."""
        failed = self._try(lambda: self._trial(count))
        if self.strategy.all_reduce_max(failed is not None) and not getattr(
            self.model, "recompute", True
        ):
            self.model.recompute = True
            self.journal.log(
                "memory: a step asked for more than the memory budget of "
                f"{self.config.memory_budget}; from now on activations are computed twice "
                "instead of kept (recompute)"
            )
            failed = self._try(lambda: self._trial(count))
        if failed is not None:
            raise self._out_of_memory(*failed, count)

    def _try(self, work: Callable[[], Any]) -> tuple[str, int] | None:
        """Call `work`; without enough memory, return the layer and how many bytes were missing."""
        try:
            work()
        except Exception as error:
            asked = memory.bytes_asked(error)
            if asked is None:
                raise
            layer = where(error, self.model)
            forget_frames(error)
            return layer, asked
        return None

    def _out_of_memory(self, layer: str, asked: int, count: int) -> MinideconvError:
        """Return the error of a step with `count` images; measures what would fit."""
        self._graph_cache.forget()
        self._stage.optimizer.zero_grad()
        memory.release()
        room = memory.room_on_device()
        fits, twice = largest_batch(self._trial, count, room), 0
        if not getattr(self.model, "recompute", True):
            self.model.recompute = True
            try:
                twice = largest_batch(self._trial, count + 1, room)
            finally:
                self.model.recompute = False
        size = self.strategy.world_size  # the user's batch is that of all processes
        return explain(layer, asked, room, count * size, fits * size, twice * size)

    def _trial(self, count: int) -> int:
        """Compute the gradient of `count` black images; return the most bytes that arrays had."""
        size = self.config.input_size
        self._double_buffer.current.fill(0)
        _, pixels, targets = Layout(count, size, size, 1).view(self._double_buffer.current)
        buffers, rng_state = get_buffers(self.model), random.get_state()
        try:
            with memory.measured() as peak, self.strategy.no_sync(self.model):
                self._forward(pixels, targets)[2].backward()
        finally:
            self._stage.optimizer.zero_grad()
            set_buffers(self.model, buffers)
            random.set_state(rng_state)
        return peak.nbytes
