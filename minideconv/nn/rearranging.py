"""Layers that average or rearrange, without parameters."""

from __future__ import annotations

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.backend.checks import check_flag, check_integer
from minideconv.functional.rearranging import check_output_size
from minideconv.nn.module import Module
from minideconv.ops.geometry import IntPair, check_pooling

__all__ = ["AdaptiveAvgPool2d", "AvgPool2d", "Flatten", "PixelShuffle"]


class AvgPool2d(Module):
    """Average pooling; see `ops.avg_pool2d`."""

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        check_pooling("AvgPool2d", kernel_size, stride, padding)
        check_flag("AvgPool2d", "ceil_mode", ceil_mode)
        check_flag("AvgPool2d", "count_include_pad", count_include_pad)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """Pool `x`."""
        window = (self.kernel_size, self.stride, self.padding)
        return F.avg_pool2d(x, *window, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        """Return the window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """Average pooling to a given size; see `F.adaptive_avg_pool2d`."""

    def __init__(self, output_size: IntPair) -> None:
        super().__init__()
        check_output_size("AdaptiveAvgPool2d", output_size)
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """Pool `x`."""
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        """Return the size."""
        return f"output_size={self.output_size}"


class PixelShuffle(Module):
    """Channels become pixels: ``(N, C r r, H, W) -> (N, C, H r, W r)``; see `F.pixel_shuffle`."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = check_integer("PixelShuffle", "upscale_factor", upscale_factor, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Rearrange `x`."""
        return F.pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        """Return the factor."""
        return f"upscale_factor={self.upscale_factor}"


class Flatten(Module):
    """Join the axes `start_dim` to `end_dim` into one: by default all but the first."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        check_integer("Flatten", "start_dim", start_dim)
        check_integer("Flatten", "end_dim", end_dim)
        if (start_dim < 0) == (end_dim < 0) and start_dim > end_dim:
            raise ValueError(
                f"Flatten: start_dim is {start_dim} and end_dim {end_dim}; start_dim must not come"
                " behind end_dim"
            )
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        """Flatten `x`."""
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Return the axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
