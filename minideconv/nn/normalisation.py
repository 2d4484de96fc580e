"""Normalisation layers without running statistics, and batch normalisation of sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.backend.checks import check_flag
from minideconv.functional.normalisation import check_lengths
from minideconv.nn.batch_norm import BatchNorm2d
from minideconv.nn.layers import MaxPool2d
from minideconv.nn.module import Module, Parameter
from minideconv.ops.batch_norm_checks import check_eps, check_options
from minideconv.ops.geometry import check_positive

__all__ = ["BatchNorm1d", "GroupNorm", "InstanceNorm2d", "LayerNorm"]


class BatchNorm1d(BatchNorm2d):
    """Batch normalisation of (N, C), or of sequences (N, C, L); see `BatchNorm2d`."""

    def forward(self, x: Tensor, relu: bool = False, pool: MaxPool2d | None = None) -> Any:
        """Normalise `x`."""
        if x.ndim == 3:
            return super().forward(x.unsqueeze(3), relu, pool).squeeze(3)
        return super().forward(x, relu, pool)


class GroupNorm(Module):
    """Normalise each group of channels of each image, then scale and shift; see `F.group_norm`."""

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True
    ) -> None:
        super().__init__()
        check_positive("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_groups is {num_groups}; it must divide num_channels {num_channels}"
            )
        check_eps("GroupNorm", eps)
        check_flag("GroupNorm", "affine", affine)
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.affine = affine
        self.weight = Parameter(np.ones(num_channels, np.float32)) if affine else None
        self.bias = Parameter(np.zeros(num_channels, np.float32)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x`."""
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the numbers of groups and of channels."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"


class InstanceNorm2d(Module):
    """Normalise each channel of each image by itself; see `F.instance_norm`.

    As in PyTorch there is no scale and shift unless `affine`. There are no running statistics:
    `momentum` is accepted in its place and changes nothing, `track_running_stats` must be False.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
    ) -> None:
        super().__init__()
        name = "InstanceNorm2d"
        check_positive(name, num_features=num_features)
        if isinstance(momentum, bool):
            raise TypeError(
                f"{name}: momentum is {momentum}; it must be a number; affine is the fourth"
                f" argument: affine={momentum}"
            )
        check_options(name, 0.0 if momentum is None else momentum, eps)
        check_flag(name, "affine", affine)
        if check_flag(name, "track_running_stats", track_running_stats):
            raise ValueError(
                f"{name}: track_running_stats is True; it must be False, "
                "as there are no running statistics here"
            )
        self.num_features, self.eps, self.affine = num_features, eps, affine
        self.weight = Parameter(np.ones(num_features, np.float32)) if affine else None
        self.bias = Parameter(np.zeros(num_features, np.float32)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x`."""
        if isinstance(x, Tensor) and x.ndim == 3:  # one image (C, H, W)
            return self.forward(x.unsqueeze(0)).squeeze(0)
        if isinstance(x, Tensor) and (x.ndim != 4 or x.shape[1] != self.num_features):
            raise ValueError(
                f"InstanceNorm2d: x has shape {x.shape}; it must be (N, {self.num_features}, H, W)"
                f" or ({self.num_features}, H, W)"
            )
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)

    def extra_repr(self) -> str:
        """Return the number of channels."""
        return f"{self.num_features}, eps={self.eps}"


class LayerNorm(Module):
    """Normalise over the last axes, then scale and shift; see `F.layer_norm`."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        shape = check_lengths("LayerNorm", normalized_shape)
        check_eps("LayerNorm", eps)
        check_flag("LayerNorm", "elementwise_affine", elementwise_affine)
        check_flag("LayerNorm", "bias", bias)
        self.normalized_shape, self.eps = shape, eps
        self.elementwise_affine = elementwise_affine
        ones, zeros = np.ones(shape, np.float32), np.zeros(shape, np.float32)
        self.weight = Parameter(ones) if elementwise_affine else None
        self.bias = Parameter(zeros) if elementwise_affine and bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x`."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the lengths."""
        return f"{self.normalized_shape}, eps={self.eps}"
