"""What an animation shows: an operation of one channel, its geometry, and the numbers in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.ops import conv2d, conv_transpose2d
from minideconv.ops.geometry import IntPair, Pair, Window, pairs
from minideconv.ops.im2col import conv_transpose_window, conv_window

__all__ = ["ARITHMETIC", "Geometry", "geometry"]


@dataclass(frozen=True)
class Geometry:
    """A convolution, or its transpose, of an image of `size`; made by `geometry`.

    Attributes
    ----------
    transposed : bool
    size, kernel, stride, padding, dilation, output_padding : (int, int)
        Along height and width; `size` is the input's.
    window : Window
        That of the convolution: it slides over the input, or over a transposed one's output.
    """

    transposed: bool
    size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    output_padding: Pair
    window: Window

    @property
    def out(self) -> Pair:
        """Height and width of the output."""
        return self.window.size if self.transposed else self.window.out

    @property
    def title(self) -> str:
        """The operation and its geometry, in words."""
        parts = [f"kernel {_text(self.kernel)}", f"stride {_text(self.stride)}"]
        for name, value, usual in (
            ("padding", self.padding, 0),
            ("output_padding", self.output_padding, 0),
            ("dilation", self.dilation, 1),
        ):
            if value != (usual, usual):
                parts.append(f"{name} {_text(value)}")
        name = "conv_transpose2d" if self.transposed else "conv2d"
        sizes = f"{self.size[0]} × {self.size[1]} to {self.out[0]} × {self.out[1]}"
        return f"{name}, {sizes}: " + ", ".join(parts)

    def numbers(self, seed: int = 0) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return small whole numbers for the image and the kernel, so that sums can be followed."""
        rng = np.random.default_rng(seed)
        image = rng.integers(1, 5, self.size).astype(float)
        return image, rng.integers(0, 3, self.kernel).astype(float)

    def apply(self, x: npt.NDArray[Any], weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the output of an image (H, W) and a kernel (kh, kw), by the library's operation.

        A transposed one's is that before the border of `padding` pixels is cut off.
        """
        image, kernel = x[None, None], weight[None, None]
        if self.transposed:
            y = conv_transpose2d(
                image, kernel, None, self.stride, 0, self.output_padding, 1, self.dilation
            )
        else:
            y = conv2d(image, kernel, None, self.stride, self.padding, self.dilation)
        return np.asarray(y[0, 0])


def _text(value: Pair) -> str:
    return str(value[0]) if value[0] == value[1] else f"{value[0]} × {value[1]}"


def geometry(
    kind: str,
    size: IntPair,
    kernel: IntPair,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    output_padding: IntPair = 0,
) -> Geometry:
    """Return a geometry to animate.

    Parameters
    ----------
    kind : {"conv", "conv_transpose"}
    size : int or (int, int)
        The input's (H, W).
    kernel, stride, padding, dilation, output_padding : int or (int, int)
        As for `ops.conv2d` and `ops.conv_transpose2d`; the last for the transpose only.

    Raises
    ------
    ValueError, TypeError
        If the operation refuses that geometry, with its own sentence.
    """
    if kind not in ("conv", "conv_transpose"):
        raise ValueError(f"geometry: kind is {kind!r}; it must be 'conv' or 'conv_transpose'")
    transposed = kind == "conv_transpose"
    op = "conv_transpose2d" if transposed else "conv2d"
    values = pairs(op, size=size, kernel_size=kernel, stride=stride, padding=padding,
                   dilation=dilation, output_padding=output_padding)  # fmt: skip
    high_wide, taps, step, border, spacing, extra = values.values()
    if min(high_wide) < 1:
        raise ValueError(f"{op}: size is {high_wide}; both values must be at least 1")
    if transposed:
        window = conv_transpose_window(op, high_wide, taps, step, border, extra, spacing)
    elif extra != (0, 0):
        raise ValueError(
            f"conv2d: output_padding is {extra}; only a transposed convolution has one"
        )
    else:
        window = conv_window(op, high_wide, taps, step, border, spacing)
    return Geometry(transposed, high_wide, taps, step, border, spacing, extra, window)


ARITHMETIC: dict[str, dict[str, Any]] = {
    "no_padding_no_strides": {"kind": "conv", "size": 4, "kernel": 3},
    "arbitrary_padding_no_strides": {"kind": "conv", "size": 5, "kernel": 4, "padding": 2},
    "same_padding_no_strides": {"kind": "conv", "size": 5, "kernel": 3, "padding": 1},
    "full_padding_no_strides": {"kind": "conv", "size": 5, "kernel": 3, "padding": 2},
    "no_padding_strides": {"kind": "conv", "size": 5, "kernel": 3, "stride": 2},
    "padding_strides": {"kind": "conv", "size": 5, "kernel": 3, "stride": 2, "padding": 1},
    "padding_strides_odd": {"kind": "conv", "size": 6, "kernel": 3, "stride": 2, "padding": 1},
    "no_padding_no_strides_transposed": {"kind": "conv_transpose", "size": 2, "kernel": 3},
    "arbitrary_padding_no_strides_transposed": {
        "kind": "conv_transpose", "size": 6, "kernel": 4, "padding": 2,
    },
    "same_padding_no_strides_transposed": {
        "kind": "conv_transpose", "size": 5, "kernel": 3, "padding": 1,
    },
    "full_padding_no_strides_transposed": {
        "kind": "conv_transpose", "size": 7, "kernel": 3, "padding": 2,
    },
    "no_padding_strides_transposed": {
        "kind": "conv_transpose", "size": 2, "kernel": 3, "stride": 2,
    },
    "padding_strides_transposed": {
        "kind": "conv_transpose", "size": 3, "kernel": 3, "stride": 2, "padding": 1,
    },
    "padding_strides_odd_transposed": {
        "kind": "conv_transpose", "size": 3, "kernel": 3, "stride": 2, "padding": 1,
        "output_padding": 1,
    },
    "dilation": {"kind": "conv", "size": 7, "kernel": 3, "dilation": 2},
}  # fmt: skip
"""The fifteen cases of Dumoulin and Visin's guide, each transpose with its convolution's sizes."""
