"""Convolution and transposed convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.backend.algorithms import algorithm as using
from minideconv.backend.algorithms import check_algorithm
from minideconv.backend.checks import check_choice, check_flag
from minideconv.engine.layout import empty_weight, is_taps_first, with_taps_first
from minideconv.nn import init
from minideconv.nn.module import Module, Parameter
from minideconv.ops import geometry
from minideconv.ops.geometry import IntPair, Pair
from minideconv.ops.pad import same_padding

__all__ = ["Conv2d", "ConvTranspose2d"]


class _Convolution(Module):
    """What both layers have: a weight, a bias and a window."""

    transposed = False
    padding_mode = "zeros"
    padding: Pair | str

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
        name = "ConvTranspose2d" if self.transposed else "Conv2d"
        geometry.check_positive(
            name, in_channels=in_channels, out_channels=out_channels, groups=groups
        )
        check_flag(name, "bias", bias)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: groups is {groups}; "
                f"it must divide in_channels={in_channels} and out_channels={out_channels}"
            )
        self.algorithm = None if algorithm is None else check_algorithm(algorithm, name)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.groups = groups
        kernel = self.kernel_size = geometry.pair(kernel_size, "kernel_size", name)
        window = geometry.pairs(name, stride=stride, padding=padding, dilation=dilation)
        geometry.check_window(name, kernel, **window)
        self.stride, self.dilation = window["stride"], window["dilation"]
        self.padding = window["padding"]
        channels = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = Parameter(empty_weight((channels[0], channels[1] // groups, *kernel)))
        init.kaiming_normal_(self.weight, transposed=self.transposed)
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def _stored_weight(self) -> Parameter:
        """Return the weight, stored as the engine reads it: taps first, whatever was assigned.

        It is brought into that order once. Otherwise each call would, for fc6 of 411 MB.
        """
        weight = self.weight
        data = weight.data
        own = isinstance(weight, Parameter) and weight._grad_buffer is None  # flat ones stay there
        if own and isinstance(data, np.ndarray) and data.ndim == 4 and not is_taps_first(data):
            weight._move(with_taps_first(data), [0])
        return weight

    def extra_repr(self) -> str:
        """Return the channels, the kernel and the step."""
        first, second, *kernel = self.weight.shape
        second *= self.groups
        channels = f"{first}, {second}" if self.transposed else f"{second}, {first}"
        window = f"kernel_size={tuple(kernel)}, stride={self.stride}, padding={self.padding!r}"
        return f"{channels}, {window}"


class Conv2d(_Convolution):
    """Convolution: ``(N, in_channels, H, W) -> (N, out_channels, H', W')``; see `ops.conv2d`.

    The weight starts as He's normal initialisation, the bias as zeros. `algorithm` ("reference",
    "exact" or "fast") is for this layer only; without it `set_algorithm` decides.

    `padding` may be "same", with a stride of 1, or "valid". `padding_mode` ("zeros", "reflect",
    "replicate" or "circular") says what the border consists of: see `F.pad`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair | str = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        algorithm: str | None = None,
    ) -> None:
        number = 0 if isinstance(padding, str) else padding
        channels = (in_channels, out_channels, kernel_size)
        super().__init__(*channels, stride, number, dilation, groups, bias, algorithm=algorithm)
        if isinstance(padding, str):
            self.padding = padding
        self.padding_mode = padding_mode
        self._border = self._amounts()

    def _amounts(self) -> tuple[int, int, int, int]:
        """Return the (left, right, top, bottom) of the border."""
        modes = ("zeros", "reflect", "replicate", "circular")
        check_choice("Conv2d", "padding_mode", self.padding_mode, modes)
        if isinstance(self.padding, str):
            window = geometry.pairs("Conv2d", stride=self.stride, dilation=self.dilation)
            kernel = (self.weight.shape[2], self.weight.shape[3])
            return same_padding("Conv2d", self.padding, kernel, **window)
        height, width = geometry.pair(self.padding, "padding", "Conv2d")
        return width, width, height, height

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `x`."""
        padding: IntPair | str = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self._border, self.padding_mode), 0
        with using(self.algorithm):
            return F.conv2d(
                x,
                self._stored_weight(),
                self.bias,
                self.stride,
                padding,
                self.dilation,
                self.groups,
            )


class ConvTranspose2d(_Convolution):
    """Transposed convolution: ``(N, in_channels, H, W) -> (N, out_channels, H', W')``.

    See `ops.conv_transpose2d`. The weight is (in_channels, out_channels / groups, kh, kw).
    `algorithm` is as for `Conv2d`.
    """

    transposed = True
    padding: Pair

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
        name = "ConvTranspose2d"
        window: dict[str, Any] = geometry.pairs(
            name, stride=stride, padding=padding, dilation=dilation
        )
        channels = (in_channels, out_channels, kernel_size)
        super().__init__(*channels, **window, groups=groups, bias=bias, algorithm=algorithm)
        extra = geometry.pair(output_padding, "output_padding", name)
        self.output_padding = geometry.check_output_padding(extra, self.stride, self.dilation, name)

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Spread `x` out, to `output_size` (H', W') if given; an error lists those possible.

        Of a whole image's size, ``output_size=image.size()``, the last two count.
        """
        extra = self.output_padding
        if output_size is not None:
            if not isinstance(output_size, int) and len(output_size) == x.ndim:
                output_size = output_size[-2:]
            name = "ConvTranspose2d"
            size = geometry.pair(output_size, "output_size", name)
            window = (self.weight.shape[2:], self.stride, self.padding, self.dilation)
            extra = geometry.output_padding_for(size, x.shape[-2:], *window, name)
        options = (self.stride, self.padding, extra, self.groups, self.dilation)
        with using(self.algorithm):
            return F.conv_transpose2d(x, self._stored_weight(), self.bias, *options)
