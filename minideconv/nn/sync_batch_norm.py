"""`SyncBatchNorm2d`: a batch-normalisation layer that knows of the other processes."""

from __future__ import annotations

from typing import Any

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.nn.layers import BatchNorm2d, MaxPool2d
from minideconv.nn.module import Module
from minideconv.ops.sync_batch_norm import Collectives

__all__ = ["SyncBatchNorm2d"]


class SyncBatchNorm2d(BatchNorm2d):
    """Batch normalisation over the images of all processes; see `ops.sync_batch_norm`.

    In evaluation it is a `BatchNorm2d`: every process normalises its own images by the running
    statistics, which are the same on all. Parameters and buffers have the same names, so a state
    fits both.

    Parameters
    ----------
    comm : Communicator
        The processes. In training all of them must call the layer, in the same order.
    num_features, eps, momentum, affine, track_running_stats
        As for `BatchNorm2d`.
    """

    def __init__(
        self,
        comm: Collectives,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        self.comm = comm

    def forward(self, x: Tensor, relu: bool = False, pool: MaxPool2d | None = None) -> Any:
        """Normalise `x`, by the statistics of all processes in training."""
        if self.track_running_stats and not self.training:
            return super().forward(x, relu, pool)
        momentum = 0.0
        running_mean = running_var = None
        if self.track_running_stats:
            running_mean, running_var = self.running_mean, self.running_var
            self._count_batch()
            momentum = self._next_momentum()
        y = F.sync_batch_norm(
            x,
            running_mean,
            running_var,
            self.weight,
            self.bias,
            self.comm,
            momentum,
            self.eps,
            relu or pool is not None,
        )
        return y if pool is None else F.max_pool2d(y, **pool.window, return_switches=True)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, comm: Collectives) -> Module:
        """Replace every `BatchNorm2d` in `module` by a layer that sums over `comm`.

        Parameters, buffers and hooks stay the same objects. Returns `module`, or the new layer if
        `module` is itself a `BatchNorm2d`.
        """
        new: dict[int, SyncBatchNorm2d] = {}

        def converted(layer: BatchNorm2d) -> SyncBatchNorm2d:
            if id(layer) not in new:  # one in two places stays one
                new[id(layer)] = cls.__new__(cls)
                vars(new[id(layer)]).update(vars(layer), comm=comm)
            return new[id(layer)]

        if isinstance(module, BatchNorm2d):
            return converted(module)
        for owner in list(module.modules()):
            for name, child in owner.named_children():
                if isinstance(child, BatchNorm2d):
                    setattr(owner, name, converted(child))
        return module
