"""Batch normalisation over one process's images, or over those of all processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.autograd.grad_mode import is_replaying
from minideconv.backend import check_writable
from minideconv.backend.checks import check_flag
from minideconv.backend.dispatch import on_device_of
from minideconv.nn.layers import MaxPool2d
from minideconv.nn.module import Module, Parameter
from minideconv.ops.batch_norm_checks import check_options
from minideconv.ops.geometry import check_positive
from minideconv.ops.sync_batch_norm import Collectives

__all__ = ["BatchNorm2d", "SyncBatchNorm2d"]


class BatchNorm2d(Module):
    """Batch normalisation of each channel; see `ops.batch_norm`.

    The running statistics are buffers: part of the state, not learned. Besides them the layer
    counts the batches it has seen, as PyTorch does. ``momentum=None`` averages all batches equally,
    which is how the paper's authors computed the statistics of the finished network.

    Attributes
    ----------
    frozen : bool
        Whether the running statistics are used, and left alone, in training too; False at first.
    """

    frozen = False

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_positive(name, num_features=num_features)
        check_options(name, 0.0 if momentum is None else momentum, eps)
        check_flag(name, "affine", affine)
        check_flag(name, "track_running_stats", track_running_stats)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(np.ones(num_features, np.float32)) if affine else None
        self.bias = Parameter(np.zeros(num_features, np.float32)) if affine else None
        self.affine, self.track_running_stats = affine, track_running_stats
        if track_running_stats:
            self.register_buffer("running_mean", np.zeros(num_features, np.float32))
            self.register_buffer("running_var", np.ones(num_features, np.float32))
            self.register_buffer("num_batches_tracked", np.zeros((), np.int64))

    def reset_running_stats(self) -> None:
        """Forget the running statistics: mean 0, variance 1, no batches seen."""
        if self.track_running_stats:
            check_writable("reset_running_stats", self._buffers.items())
            with on_device_of(self.running_mean):
                self.running_mean[...] = 0
                self.running_var[...] = 1
                self.num_batches_tracked[...] = 0

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether a call now would normalise by the statistics of its own input."""
        return not self.track_running_stats or (self.training and not self.frozen)

    def forward(self, x: Tensor, relu: bool = False, pool: MaxPool2d | None = None) -> Any:
        """Normalise `x`, by its own statistics in training, by the running ones in evaluation.

        With `relu` the result is rectified, which takes less time here than in a layer of its own;
        with `pool` it is rectified and pooled, and returned with the switches.
        """
        function: Callable[..., Any] = F.batch_norm_relu if relu else F.batch_norm
        if pool is not None:
            function = partial(F.batch_norm_relu_pool, **pool.window)
        y = function(x, *self._arguments())
        self._count_batch()
        return y

    def _count_batch(self) -> None:
        """Count a batch that was normalised by its own statistics."""
        counts = self.track_running_stats and self.uses_batch_statistics
        if counts and not is_replaying():
            with on_device_of(self.num_batches_tracked):
                self.num_batches_tracked += 1

    def _arguments(self) -> tuple[Any, ...]:
        """Return the arguments of `F.batch_norm` behind `x`."""
        if not self.track_running_stats:
            return None, None, self.weight, self.bias, True, 0.0, self.eps
        training = self.uses_batch_statistics
        new = training and not is_replaying()
        if new:
            check_writable(f"{type(self).__name__} in training", self._buffers.items())
        momentum = self.momentum
        if momentum is None:
            momentum = 1.0 / max(1, int(self.num_batches_tracked) + new)
        statistics = (self.running_mean, self.running_var)
        return *statistics, self.weight, self.bias, training, momentum, self.eps

    def extra_repr(self) -> str:
        """Return the number of channels."""
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


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

    def __init__(self, comm: Collectives, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.comm = comm

    def forward(self, x: Tensor, relu: bool = False, pool: MaxPool2d | None = None) -> Any:
        """Normalise `x`, by the statistics of all processes in training."""
        if not self.uses_batch_statistics:
            return super().forward(x, relu, pool)
        mean, var, weight, bias, _, momentum, eps = self._arguments()
        options = (momentum, eps, relu or pool is not None)
        y = F.sync_batch_norm(x, mean, var, weight, bias, self.comm, *options)
        self._count_batch()
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
