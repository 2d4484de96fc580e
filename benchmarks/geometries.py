"""The convolutions of section `strided`: geometry, and the ratio to PyTorch that is wanted.

DeconvNet's own layers, 3x3 with stride 1, are in `layers`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GEOMETRIES", "POOLED", "POOLING_GOAL", "QUICK_GEOMETRIES", "Geometry"]


@dataclass(frozen=True)
class Geometry:
    """One convolution or transposed convolution of square images with square kernels."""

    name: str
    transposed: bool
    c_in: int
    c_out: int
    size: int
    kernel: int
    goal: float  # our time over that of the better of PyTorch's layouts, at most
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    dilation: int = 1
    groups: int = 1
    batch: int = 4
    plain: bool = False  # through `functional`, on arrays and weights in C order

    @property
    def out_size(self) -> int:
        """The side of the result."""
        reach = self.dilation * (self.kernel - 1) + 1 - 2 * self.padding
        if self.transposed:
            return (self.size - 1) * self.stride + reach + self.output_padding
        return (self.size - reach) // self.stride + 1

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        """(N, C_in, H, W)."""
        return (self.batch, self.c_in, self.size, self.size)

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        """(N, C_out, H', W')."""
        return (self.batch, self.c_out, self.out_size, self.out_size)

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        """(C_out, C_in / groups, k, k); with C_in and C_out exchanged if transposed."""
        first, second = (self.c_in, self.c_out) if self.transposed else (self.c_out, self.c_in)
        return (first, second // self.groups, self.kernel, self.kernel)

    @property
    def terms(self) -> int:
        """Products in an output's sum; of a transposed convolution, on average."""
        places = self.kernel**2 // (self.stride**2 if self.transposed else 1)
        return max(1, places) * self.c_in // self.groups

    @property
    def flop(self) -> int:
        """Multiplications and additions of the sum as it is written, borders included."""
        small = self.size if self.transposed else self.out_size
        channels = self.c_in * self.c_out // self.groups
        return 2 * self.batch * channels * (self.kernel * small) ** 2

    def __str__(self) -> str:
        window = f"{self.kernel}x{self.kernel}"
        more = {
            "s": (self.stride, 1),
            "p": (self.padding, 0),
            "op": (self.output_padding, 0),
            "d": (self.dilation, 1),
            "g": (self.groups, 1),
        }
        words = [window, *(f"{name}{n}" for name, (n, usual) in more.items() if n != usual)]
        channels, size = f"{self.c_in} -> {self.c_out}", f"{self.size}x{self.size}"
        return f"{channels}, {' '.join(words)}, {size}, N={self.batch}"


_FCN8S = Geometry("transposed 16x16 s8 (FCN-8s)", True, 21, 21, 28, 16, 0.7, stride=8, padding=4)
_DEPTHWISE = Geometry("depthwise 3x3", False, 128, 128, 56, 3, 1.0, padding=1, groups=128)
_PLAIN = Geometry(
    "3x3 of few channels, plain arrays", False, 16, 16, 64, 3, 1.0, padding=1, batch=16, plain=True
)

GEOMETRIES = (
    Geometry("transposed 4x4 s2", True, 64, 64, 56, 4, 0.8, stride=2, padding=1),
    Geometry(
        "transposed 3x3 s2", True, 128, 64, 28, 3, 0.8, stride=2, padding=1, output_padding=1
    ),
    Geometry("transposed 2x2 s2 (U-Net)", True, 256, 128, 28, 2, 0.8, stride=2),
    _FCN8S,
    Geometry("transposed 64x64 s32 (FCN-32s)", True, 21, 21, 7, 64, 0.7, stride=32, padding=16),
    Geometry("3x3 s2", False, 64, 128, 56, 3, 0.9, stride=2, padding=1),
    Geometry("7x7 s2", False, 3, 64, 224, 7, 0.8, stride=2, padding=3),
    Geometry("3x3 dilation 2", False, 256, 256, 28, 3, 0.8, padding=2, dilation=2),
    Geometry("5x5", False, 32, 64, 56, 5, 0.9, padding=2),
    _DEPTHWISE,
    Geometry("grouped 3x3 g4", False, 128, 128, 28, 3, 1.0, padding=1, groups=4),
    Geometry(
        "3x3 of many channels, plain arrays", False, 512, 512, 28, 3, 0.5, padding=1, batch=2,
        plain=True,
    ),
    _PLAIN,
)  # fmt: skip
"""Batch 4 except where a row says otherwise. Plain arrays are C order, as NumPy makes them."""

POOLED, POOLING_GOAL = "max-pool 2x2 with switches", 0.5
"""Of max pooling with switches and its gradient together."""

QUICK_GEOMETRIES = (_FCN8S, _DEPTHWISE, _PLAIN)
