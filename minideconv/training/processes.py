"""What the processes of a run tell each other: `Alone`, for a run of one, and `Together`.

Every process has the whole network and computes with a part of each batch. The loss of a batch is a
sum over its terms (pixels, say), divided by their number, so the gradient of the batch is the sum
of all parts' gradients, each divided by the number in the *whole* batch. To average the parts' own
means would be wrong as soon as one part has fewer terms than another.

    share of process r = terms of the loss in its part / terms of the loss in the batch
    gradient           = sum over r of  share_r * d (mean loss of part r) / d weights

The number is known before the forward pass begins (the task counts it in the targets), so one small
sum comes first, and the sum of the gradients needs nothing done to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minideconv.backend import Array
from minideconv.distributed import Communicator, Single
from minideconv.nn import Module, SyncBatchNorm2d
from minideconv.tasks import Task

__all__ = ["Alone", "Together", "exchange_for"]


class Alone:
    """One process, which has every image of the batch itself."""

    part = (0, 1)
    """Which part of everything is this process's: (rank, number of processes)."""
    command = "python -m minideconv.train"
    """What a user types to start such a run."""

    def prepare(self, model: Module) -> None:
        """Make the network one that all processes train."""

    def share(self, task: Task, targets: Array, share: float) -> float:
        """Return the weight of this process's mean loss over `targets`, its part of a batch.

        The weights of all processes add up to `share`, the weight of the whole batch in its step.
        """
        return share

    def add_gradients(self, optimizer: Any) -> None:
        """Replace the gradients of `optimizer` by their sum over all processes."""

    def add_up(self, figures: Array) -> Array:
        """Return the sum of `figures` over all processes: losses, sums of metrics."""
        return figures

    def most(self, number: int) -> int:
        """Return the largest `number` of all processes: what one must do, all do."""
        return number

    @contextmanager
    def apart(self, model: Module) -> Iterator[None]:
        """Let this process use the network without the others inside the block."""
        yield


class Together(Alone):
    """Several processes, each with a part of every batch.

    Parameters
    ----------
    talk : Communicator
        How they speak to each other.
    """

    def __init__(self, talk: Communicator) -> None:
        self.talk = talk
        self.part = (talk.rank, talk.size)
        self.command = f"mpiexec -n {talk.size} python -m mpi4py -m minideconv.train"

    def prepare(self, model: Module) -> None:
        """Let batch norm see the whole batch, and start everywhere with the numbers of rank 0."""
        SyncBatchNorm2d.convert_sync_batchnorm(model, self.talk)
        for array in model.arrays().values():
            self.talk.broadcast_(array)

    def share(self, task: Task, targets: Array, share: float) -> float:
        """Return the weight of this process's mean loss over `targets`, its part of a batch."""
        counted = task.weight(targets)
        total = self.add_up(np.array(counted))
        return share * counted / max(1, int(total))

    def add_gradients(self, optimizer: Any) -> None:
        """Replace the gradients of `optimizer` by their sum over all processes.

        All of them in one array: a sum of many small ones would take many times as long. It is
        waited for, with a limit: a GPU would wait for a dead process for ever.
        """
        optimizer.complete_grads()
        self.talk.all_reduce_(optimizer.flat_grad)
        self.talk.settle()

    def add_up(self, figures: Array) -> Array:
        """Return the sum of `figures` over all processes."""
        total = figures.copy()
        self.talk.all_reduce_(total)
        return total

    def most(self, number: int) -> int:
        """Return the largest `number` of all processes."""
        largest = np.array(int(number))
        self.talk.all_reduce_(largest, "max")
        return int(largest)

    @contextmanager
    def apart(self, model: Module) -> Iterator[None]:
        """Let this process use the network without the others inside the block."""
        layers = [layer for layer in model.modules() if isinstance(layer, SyncBatchNorm2d)]
        try:
            for layer in layers:
                layer.together = Single()
            yield
        finally:
            for layer in layers:
                layer.together = self.talk


def exchange_for(talk: Communicator) -> Alone:
    """Return how a run's steps are shared by the processes `talk`."""
    return Alone() if talk.size == 1 else Together(talk)
