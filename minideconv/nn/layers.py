"""Layers without a file of their own: pooling, resizing, pointwise functions, `Linear`."""

from __future__ import annotations

import importlib
from typing import Any, Literal

import numpy as np

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.backend.checks import check_flag, check_generator
from minideconv.nn import init
from minideconv.nn.module import Module, Parameter
from minideconv.ops import geometry
from minideconv.ops.dropout import check_probability
from minideconv.ops.geometry import IntPair, check_positive
from minideconv.ops.interpolate import check_target
from minideconv.ops.switches import Switches
from minideconv.ops.unpooling import check_duplicates

__all__ = ["Dropout", "Linear", "MaxPool2d", "MaxUnpool2d", "ReLU", "Upsample"]


def __getattr__(name: str) -> Any:
    """Find the layers that were in this file once: networks pickled then look for them here."""
    if name not in ("BatchNorm2d", "Conv2d", "ConvTranspose2d"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("minideconv.nn"), name)


class MaxPool2d(Module):
    """Max pooling; with ``return_switches=True`` calling it gives ``(y, switches)``."""

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        return_switches: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        geometry.check_pooling("MaxPool2d", kernel_size, stride, padding, dilation)
        check_flag("MaxPool2d", "return_switches", return_switches)
        check_flag("MaxPool2d", "ceil_mode", ceil_mode)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode, self.return_switches = dilation, ceil_mode, return_switches

    def forward(self, x: Tensor) -> Any:
        """Pool `x`: a Tensor, or (Tensor, Switches)."""
        return F.max_pool2d(x, **self.window, return_switches=self.return_switches)

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
        check_duplicates("MaxUnpool2d", duplicates)
        self.duplicates: Literal["assign", "add"] = duplicates

    def forward(self, x: Tensor, switches: Switches) -> Tensor:
        """Unpool `x` to the size that the switches remember."""
        return F.max_unpool2d(x, switches, self.duplicates)

    def extra_repr(self) -> str:
        """Return the rule for two windows that chose one pixel."""
        return f"duplicates={self.duplicates!r}"


class ReLU(Module):
    """``max(x, 0)``. `inplace` is accepted as in PyTorch, but nothing is written over."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = check_flag("ReLU", "inplace", inplace)

    def forward(self, x: Tensor) -> Tensor:
        """Rectify `x`."""
        return F.relu(x)


class Dropout(Module):
    """Zero values with probability `p` in training; nothing in evaluation. See `ops.dropout`.

    `inplace` is accepted as in PyTorch, but nothing is written over.
    """

    def __init__(
        self, p: float = 0.5, rng: np.random.Generator | None = None, *, inplace: bool = False
    ) -> None:
        super().__init__()
        check_probability(type(self).__name__, p)
        check_generator(type(self).__name__, rng, "no layer here works in place")
        self.p: float = p
        self.rng: np.random.Generator | None = rng
        self.inplace = inplace

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
        check_positive("Linear", in_features=in_features, out_features=out_features)
        check_flag("Linear", "bias", bias)
        self.in_features, self.out_features = in_features, out_features
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
        check_flag("Upsample", "align_corners", align_corners)
        check_target("Upsample", size, scale_factor, mode, align_corners)
        self.size, self.scale_factor = size, scale_factor
        self.mode, self.align_corners = mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        """Resize `x`."""
        return F.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        """Return the target and the mode."""
        target = f"size={self.size}" if self.size else f"scale_factor={self.scale_factor}"
        return f"{target}, mode={self.mode!r}"
