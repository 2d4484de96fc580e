"""Data parallelism: `SingleProcess`, for a run of one process, and `DataParallel`, for several.

Every process has the whole network and computes with a part of each batch. The loss of a batch is a
sum over its terms, such as pixels, divided by their number, so the gradient of the batch is the sum
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

__all__ = ["DataParallel", "SingleProcess", "data_parallel_for"]


class SingleProcess:
    """One process, which has every image of the batch itself."""

    rank, world_size = 0, 1
    """This process's number among those that train together, and how many these are."""
    command = "python -m minideconv.train"
    """What a user types to start such a run."""

    def prepare(self, model: Module) -> None:
        """Make the network one that all processes train."""

    def loss_weight(self, task: Task, targets: Array, weight: float) -> float:
        """Return the weight of this process's mean loss over `targets`, its part of a batch.

        The weights of all processes add up to `weight`, the weight of the whole batch in its step.
        """
        return weight

    def all_reduce_gradients(self, optimizer: Any) -> None:
        """Replace the gradients of `optimizer` by their sum over all processes."""

    def all_reduce_sum(self, values: Array) -> Array:
        """Return the sum of `values` over all processes: losses, sums of metrics."""
        return values

    def all_reduce_max(self, number: int) -> int:
        """Return the largest `number` of all processes: what one must do, all do."""
        return number

    @contextmanager
    def no_sync(self, model: Module) -> Iterator[None]:
        """Inside the block, use the network without the other processes."""
        yield


class DataParallel(SingleProcess):
    """Several processes, each with a part of every batch.

    Parameters
    ----------
    comm : Communicator
        Through which they communicate.
    """

    def __init__(self, comm: Communicator) -> None:
        self.comm = comm
        self.rank, self.world_size = comm.rank, comm.size
        self.command = f"mpiexec -n {comm.size} python -m mpi4py -m minideconv.train"

    def prepare(self, model: Module) -> None:
        """Let batch norm see the whole batch, and start everywhere with the numbers of rank 0."""
        SyncBatchNorm2d.convert_sync_batchnorm(model, self.comm)
        for array in model.arrays().values():
            self.comm.broadcast_(array)

    def loss_weight(self, task: Task, targets: Array, weight: float) -> float:
        """Return the weight of this process's mean loss over `targets`, its part of a batch."""
        counted = task.weight(targets)
        total = self.all_reduce_sum(np.array(counted))
        return weight * counted / float(total) if total > 0 else 0.0

    def all_reduce_gradients(self, optimizer: Any) -> None:
        """Replace the gradients of `optimizer` by their sum over all processes.

        All of them in one array: a sum of many small ones would take many times as long. It is
        waited for, with a limit: a GPU would wait for a dead process for ever.
        """
        optimizer.complete_grads()
        self.comm.all_reduce_(optimizer.flat_grad)
        self.comm.synchronize()

    def all_reduce_sum(self, values: Array) -> Array:
        """Return the sum of `values` over all processes."""
        total = values.copy()
        self.comm.all_reduce_(total)
        return total

    def all_reduce_max(self, number: int) -> int:
        """Return the largest `number` of all processes."""
        largest = np.array(int(number))
        self.comm.all_reduce_(largest, "max")
        return int(largest)

    @contextmanager
    def no_sync(self, model: Module) -> Iterator[None]:
        """Inside the block, use the network without the other processes."""
        layers = [layer for layer in model.modules() if isinstance(layer, SyncBatchNorm2d)]
        try:
            for layer in layers:
                layer.comm = Single()
            yield
        finally:
            for layer in layers:
                layer.comm = self.comm


def data_parallel_for(comm: Communicator) -> SingleProcess:
    """Return how a run's steps are shared by the processes `comm`."""
    return SingleProcess() if comm.size == 1 else DataParallel(comm)
