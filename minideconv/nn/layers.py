"""The layers: each holds its parameters and calls the function of the same name in `functional`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.autograd.grad_mode import is_replaying
from minideconv.backend import check_writable
from minideconv.backend.algorithms import algorithm as using
from minideconv.backend.algorithms import check_algorithm
from minideconv.backend.dispatch import on_device_of
from minideconv.engine.layout import empty_weight
from minideconv.nn import init
from minideconv.nn.module import Module, Parameter
from minideconv.ops import geometry
from minideconv.ops.geometry import IntPair
from minideconv.ops.switches import Switches

__all__ = [
    "BatchNorm2d",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "Linear",
    "MaxPool2d",
    "MaxUnpool2d",
    "ReLU",
    "Upsample",
]


def _positive(layer: str, **sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{layer}: {name} is {size}; it must be at least 1")


def _check_groups(layer: str, in_channels: int, out_channels: int, groups: int) -> None:
    _positive(layer, in_channels=in_channels, out_channels=out_channels, groups=groups)
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"{layer}: groups is {groups}; it must divide in_channels={in_channels} and"
            f" out_channels={out_channels}"
        )


class Conv2d(Module):
    """Convolution: ``(N, in_channels, H, W) -> (N, out_channels, H', W')``; see `ops.conv2d`.

    The weight starts as He's normal initialisation, the bias as zeros. `algorithm` ("reference",
    "exact" or "fast") is for this layer only; without it `set_algorithm` decides.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        algorithm: str | None = None,
    ) -> None:
        super().__init__()
        _check_groups("Conv2d", in_channels, out_channels, groups)
        self.algorithm = None if algorithm is None else check_algorithm(algorithm, "Conv2d")
        kernel = geometry.pair(kernel_size, "kernel_size", "Conv2d")
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.weight = Parameter(empty_weight((out_channels, in_channels // groups, *kernel)))
        init.kaiming_normal_(self.weight)
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `x`."""
        with using(self.algorithm):
            return F.conv2d(
                x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
            )

    def extra_repr(self) -> str:
        """Return the channels, the kernel and what is not the default."""
        k, c, kh, kw = self.weight.shape
        return (
            f"{c * self.groups}, {k}, kernel_size={(kh, kw)}, stride={self.stride},"
            f" padding={self.padding}"
        )


class ConvTranspose2d(Module):
    """Transposed convolution: ``(N, in_channels, H, W) -> (N, out_channels, H', W')``.

    See `ops.conv_transpose2d`. The weight is (in_channels, out_channels / groups, kh, kw).
    `algorithm` is as for `Conv2d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair = 0,
        output_padding: IntPair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntPair = 1,
        *,
        algorithm: str | None = None,
    ) -> None:
        super().__init__()
        name = "ConvTranspose2d"
        self.algorithm = None if algorithm is None else check_algorithm(algorithm, name)
        _check_groups(name, in_channels, out_channels, groups)
        kernel = geometry.pair(kernel_size, "kernel_size", name)
        self.stride = geometry.pair(stride, "stride", name)
        self.padding = geometry.pair(padding, "padding", name)
        self.dilation = geometry.pair(dilation, "dilation", name)
        self.output_padding = geometry.check_output_padding(
            geometry.pair(output_padding, "output_padding", name), self.stride, self.dilation, name
        )
        self.groups = groups
        self.weight = Parameter(empty_weight((in_channels, out_channels // groups, *kernel)))
        init.kaiming_normal_(self.weight, transposed=True)
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def forward(self, x: Tensor, output_size: tuple[int, int] | None = None) -> Tensor:
        """Spread `x` out, to `output_size` (H', W') if given; an error lists those possible."""
        extra = self.output_padding
        if output_size is not None:
            extra = geometry.output_padding_for(
                geometry.pair(output_size, "output_size", "ConvTranspose2d"),
                (x.shape[2], x.shape[3]),
                (self.weight.shape[2], self.weight.shape[3]),
                self.stride,
                self.padding,
                self.dilation,
                "ConvTranspose2d",
            )
        with using(self.algorithm):
            return F.conv_transpose2d(
                x,
                self.weight,
                self.bias,
                self.stride,
                self.padding,
                extra,
                self.groups,
                self.dilation,
            )

    def extra_repr(self) -> str:
        """Return the channels, the kernel and the geometry."""
        c, k, kh, kw = self.weight.shape
        return (
            f"{c}, {k * self.groups}, kernel_size={(kh, kw)}, stride={self.stride},"
            f" padding={self.padding}"
        )


class MaxPool2d(Module):
    """Max pooling; with ``return_switches=True`` calling it gives ``(y, switches)``."""

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        ceil_mode: bool = False,
        return_switches: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode, self.return_switches = dilation, ceil_mode, return_switches

    def forward(self, x: Tensor) -> Any:
        """Pool `x`: a Tensor, or (Tensor, Switches)."""
        if self.return_switches:
            return F.max_pool2d(x, **self.window, return_switches=True)
        return F.max_pool2d(x, **self.window)

    @property
    def window(self) -> dict[str, Any]:
        """The arguments that say which window, by name."""
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        """Return the window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool2d(Module):
    """Unpooling: puts values back where the switches say; see `ops.max_unpool2d`."""

    def __init__(self, duplicates: Literal["assign", "add"] = "assign") -> None:
        super().__init__()
        self.duplicates: Literal["assign", "add"] = duplicates

    def forward(self, x: Tensor, switches: Switches) -> Tensor:
        """Unpool `x` to the size that the switches remember."""
        return F.max_unpool2d(x, switches, self.duplicates)

    def extra_repr(self) -> str:
        """Return the rule for two windows that chose one pixel."""
        return f"duplicates={self.duplicates!r}"


class BatchNorm2d(Module):
    """Batch normalisation of each channel; see `ops.batch_norm`.

    The running statistics are buffers: part of the state, not learned. Besides them the layer
    counts the batches it has seen, as PyTorch does. ``momentum=None`` averages all batches equally,
    which is how the paper's authors computed the statistics of the finished network.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        _positive("BatchNorm2d", num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(np.ones(num_features, np.float32)) if affine else None
        self.bias = Parameter(np.zeros(num_features, np.float32)) if affine else None
        self.track_running_stats = track_running_stats
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

    def forward(self, x: Tensor, relu: bool = False, pool: MaxPool2d | None = None) -> Any:
        """Normalise `x`, by its own statistics in training, by the running ones in evaluation.

        With `relu` the result is rectified, which takes less time here than in a layer of its own;
        with `pool` it is rectified and pooled, and returned with the switches.
        """
        function: Callable[..., Any] = F.batch_norm_relu if relu else F.batch_norm
        if pool is not None:
            function = partial(F.batch_norm_relu_pool, **pool.window)
        if not self.track_running_stats:
            return function(x, None, None, self.weight, self.bias, True, eps=self.eps)
        if self.training:
            self._count_batch()
        return function(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self._next_momentum(),
            self.eps,
        )

    def _count_batch(self) -> None:
        """Count a batch that the running statistics are about to follow."""
        if not is_replaying():
            check_writable("BatchNorm2d in training", self._buffers.items())
            with on_device_of(self.num_batches_tracked):
                self.num_batches_tracked += 1

    def _next_momentum(self) -> float:
        """Return the weight of this batch in the running statistics."""
        if self.momentum is not None:
            return self.momentum
        return 1.0 / max(1, int(self.num_batches_tracked))

    def extra_repr(self) -> str:
        """Return the number of channels."""
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class ReLU(Module):
    """``max(x, 0)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Rectify `x`."""
        return F.relu(x)


class Dropout(Module):
    """Zero values with probability `p` in training; nothing in evaluation. See `ops.dropout`."""

    def __init__(self, p: float = 0.5, rng: np.random.Generator | None = None) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p is {p}; it must be a probability in 0..1")
        self.p, self.rng = p, rng

    def forward(self, x: Tensor) -> Tensor:
        """Drop values of `x`."""
        return F.dropout(x, self.p, self.training, self.rng)

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p}"


class Linear(Module):
    """``x @ weight.T + bias``: ``(..., in_features) -> (..., out_features)``; see `ops.linear`."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        _positive("Linear", in_features=in_features, out_features=out_features)
        self.weight = Parameter(np.empty((out_features, in_features), np.float32))
        init.kaiming_normal_(self.weight)
        self.bias = Parameter(np.zeros(out_features, np.float32)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map the last axis of `x`."""
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}"


class Upsample(Module):
    """Resize to a size or by a factor; see `ops.interpolate`."""

    def __init__(
        self,
        size: IntPair | None = None,
        scale_factor: float | tuple[float, float] | None = None,
        mode: str = "nearest",
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.size, self.scale_factor = size, scale_factor
        self.mode, self.align_corners = mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        """Resize `x`."""
        return F.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        """Return the target and the mode."""
        target = f"size={self.size}" if self.size else f"scale_factor={self.scale_factor}"
        return f"{target}, mode={self.mode!r}"
