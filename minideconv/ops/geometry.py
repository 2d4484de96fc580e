"""The sliding window of convolution and pooling: sizes, the pixels that its taps meet, errors.

Along one axis, a kernel of ``k`` taps spaced ``dilation`` apart covers ``d (k - 1) + 1`` pixels; it
starts every ``stride`` pixels on an input of ``n`` pixels with ``padding`` zeros at both ends:

    conv            n' = floor((n + 2 padding - dilation (k - 1) - 1) / stride) + 1
    conv_transpose  n' = (n - 1) stride - 2 padding + dilation (k - 1) + 1 + output_padding

The second inverts the first up to the remainder that the floor drops: ``stride`` sizes ``n`` give
the same ``n'``, and ``output_padding`` selects one of them. See Dumoulin and Visin, "A
guide to convolution arithmetic for deep learning" (2016), relationships 6 and 14.

Tap ``i`` of the window at output ``o`` meets the pixel ``o * stride - padding + i * dilation``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from minideconv.backend.checks import check_integer

__all__ = [
    "IntPair",
    "Pair",
    "Window",
    "check_at_least",
    "check_output_padding",
    "check_pool_padding",
    "check_pooling",
    "check_positive",
    "check_window",
    "conv_output_size",
    "conv_transpose_output_size",
    "output_padding_for",
    "pair",
    "pairs",
    "pool_output_size",
    "receptive_extent",
]

Pair = tuple[int, int]
IntPair = int | Pair
Slices = tuple[slice, slice]
_AXES = ("height", "width")


def pair(value: Any, name: str, op: str) -> Pair:
    """Return `value` as ``(along height, along width)``: an integer serves for both axes.

    Raises
    ------
    TypeError
        If `value` is neither an integer nor a pair of integers.
    """
    if type(value) is int:  # nearly always, or a pair of them
        return value, value
    if type(value) is tuple and len(value) == 2 and type(value[0]) is type(value[1]) is int:
        return value
    try:
        number = _index(value)
        return number, number
    except TypeError:
        pass
    try:
        height, width = (_index(item) for item in value)
        return height, width
    except (TypeError, ValueError):
        raise TypeError(
            f"{op}: {name} is {value!r}; "
            "it must be an integer or a pair of integers (height, width)"
        ) from None


def _index(value: Any) -> int:
    """Return an integer as an int; a truth value is none: most often it is another argument."""
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def pairs(op: str, **sizes: Any) -> dict[str, Pair]:
    """Return each size as a `pair`."""
    return {
        name: (size, size) if type(size) is int else pair(size, name, op)  # a call less, mostly
        for name, size in sizes.items()
    }


def check_positive(op: str, **sizes: int) -> None:
    """Raise unless all sizes are integers of at least 1."""
    for name, size in sizes.items():
        check_integer(op, name, size, least=1)


def check_at_least(values: Pair, least: int, name: str, op: str) -> Pair:
    """Return `values`, or raise ValueError if one of the two is below `least`."""
    if min(values) < least:
        raise ValueError(f"{op}: {name} is {values}; both values must be at least {least}")
    return values


@dataclass(frozen=True, slots=True)
class Window:
    """A window over an image of ``size`` pixels; it stops at ``out`` positions."""

    size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    out: Pair

    def tap(self, i: int, j: int, rows: slice) -> Slices:
        """Return the pixels of the *padded* image that tap (i, j) meets at the output `rows`."""
        (sh, sw), (dh, dw) = self.stride, self.dilation
        top, left = rows.start * sh + i * dh, j * dw
        across = slice(left, left + (self.out[1] - 1) * sw + 1, sw)
        return slice(top, top + (rows.stop - rows.start - 1) * sh + 1, sh), across

    def taps(self) -> Iterator[tuple[int, Slices, Slices]]:
        """Yield ``(number, outputs, pixels)`` of every tap, in row-major order.

        ``y[:, :, *outputs]`` are the windows whose tap `number` meets the image, not its padding,
        and ``x[:, :, *pixels]`` the pixels there.
        """
        for i, out_rows, rows in self.axis_taps(0):
            for j, out_columns, columns in self.axis_taps(1):
                yield i * self.kernel[1] + j, (out_rows, out_columns), (rows, columns)

    def axis_taps(self, axis: int) -> Iterator[tuple[int, slice, slice]]:
        """Yield ``(i, outputs, pixels)`` of every tap along one axis."""
        step = self.stride[axis]
        for i in range(self.kernel[axis]):
            shift = i * self.dilation[axis] - self.padding[axis]  # output o meets o * step + shift
            first = max(0, -(shift // step))
            stop = min(self.out[axis], (self.size[axis] - 1 - shift) // step + 1)
            if first < stop:
                start = first * step + shift
                end = start + (stop - first - 1) * step + 1
                yield i, slice(first, stop), slice(start, end, step)

    def starts(self, axis: int) -> range:
        """Return the pixel under tap 0 of every window along `axis`; negative in the padding."""
        step, first = self.stride[axis], -self.padding[axis]
        return range(first, first + self.out[axis] * step, step)

    def first_taps(self, axis: int) -> list[int]:
        """Return, for every window along `axis`, the first tap that is on the image."""
        return [max(0, -(start // self.dilation[axis])) for start in self.starts(axis)]

    @property
    def overlaps(self) -> bool:
        """Whether two windows share a pixel: a whole number of steps is a whole number of taps."""
        return any(
            math.lcm(s, d) <= (k - 1) * d and math.lcm(s, d) // s < out
            for k, s, d, out in zip(self.kernel, self.stride, self.dilation, self.out, strict=True)
        )


def check_window(op: str, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> None:
    """Raise ValueError if one of the numbers of a sliding window is too small."""
    check_at_least(kernel, 1, "kernel_size", op)
    check_at_least(stride, 1, "stride", op)
    check_at_least(padding, 0, "padding", op)
    check_at_least(dilation, 1, "dilation", op)


def receptive_extent(kernel: int, dilation: int) -> int:
    """Return the number of pixels that a dilated kernel spans: ``dilation (kernel - 1) + 1``."""
    return dilation * (kernel - 1) + 1


def conv_output_size(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, op: str = "conv2d"
) -> Pair:
    """Return the (height, width) of a convolution's output.

    Raises
    ------
    ValueError
        If the kernel does not fit into the padded input.
    """
    out = []
    for axis, n, k, s, p, d in zip(_AXES, size, kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - receptive_extent(k, d)
        if room < 0:
            raise _too_large(op, "kernel", axis, n, k, p, d)
        out.append(room // s + 1)
    return out[0], out[1]


def _too_large(op: str, what: str, axis: str, n: int, k: int, p: int, d: int) -> ValueError:
    return ValueError(
        f"{op}: the {what} spans {receptive_extent(k, d)} pixels of {axis} "
        f"(kernel {k}, dilation {d}) "
        f"but the padded input has only {n + 2 * p} (input {n}, padding {p})"
    )


def check_output_padding(output_padding: Pair, stride: Pair, dilation: Pair, op: str) -> Pair:
    """Return `output_padding`, or raise ValueError unless each is in [0, max(stride, dilation))."""
    for axis, extra, s, d in zip(_AXES, output_padding, stride, dilation, strict=True):
        if not 0 <= extra < max(s, d):
            raise ValueError(
                f"{op}: output_padding is {extra} along {axis}; "
                f"with stride {s} and dilation {d} it must be in 0..{max(s, d) - 1}: "
                "it picks one of the input sizes "
                f"that a convolution of stride {s} maps to the same output, it adds no zeros"
            )
    return output_padding


def conv_transpose_output_size(
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    output_padding: Pair,
    dilation: Pair,
    op: str = "conv_transpose2d",
) -> Pair:
    """Return the (height, width) of a transposed convolution's output.

    Raises
    ------
    ValueError
        If `output_padding` is not in [0, max(stride, dilation)), or padding eats the whole output.
    """
    check_output_padding(output_padding, stride, dilation, op)
    out = []
    for axis, n, k, s, p, extra, d in zip(
        _AXES, size, kernel, stride, padding, output_padding, dilation, strict=True
    ):
        length = (n - 1) * s - 2 * p + receptive_extent(k, d) + extra
        if length < 1:
            raise ValueError(
                f"{op}: the output would be {length} pixels of {axis} "
                f"(input {n}, kernel {k}, stride {s}, padding {p}, dilation {d}, "
                f"output_padding {extra}); use a smaller padding"
            )
        out.append(length)
    return out[0], out[1]


def output_padding_for(
    output_size: Pair,
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    op: str = "conv_transpose2d",
) -> Pair:
    """Return the output_padding with which a transposed convolution of `size` gives `output_size`.

    Raises
    ------
    ValueError
        If no legal output_padding does; the message lists the sizes that can be had.
    """
    found = []
    for axis, wanted, n, k, s, p, d in zip(
        _AXES, output_size, size, kernel, stride, padding, dilation, strict=True
    ):
        least = (n - 1) * s - 2 * p + receptive_extent(k, d)
        if not least <= wanted < least + max(s, d):
            raise ValueError(
                f"{op}: output_size asks for {wanted} pixels of {axis}; "
                f"an input of {n} can give {least}..{least + max(s, d) - 1}"
            )
        found.append(wanted - least)
    return found[0], found[1]


def check_pool_padding(op: str, kernel: Pair, padding: Pair) -> None:
    """Raise ValueError if padding exceeds half the kernel."""
    for axis, k, p in zip(_AXES, kernel, padding, strict=True):
        if not 0 <= p <= k // 2:
            raise ValueError(
                f"{op}: padding is {p} along {axis}; it must be in 0..{k // 2} "
                f"(half the kernel of {k}), so that every window sees the input"
            )


def check_pooling(op: str, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1) -> None:
    """Raise unless these may be the window of a pooling; a stride of None is the kernel's size."""
    step = kernel_size if stride is None else stride
    window = pairs(op, kernel_size=kernel_size, stride=step, padding=padding, dilation=dilation)
    kernel, _, border, _ = window.values()
    check_window(op, *window.values())
    check_pool_padding(op, kernel, border)


def pool_output_size(
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool = False,
    op: str = "max_pool2d",
) -> Pair:
    """Return the (height, width) of a pooling's output.

    The floor rule is a convolution's. ``ceil_mode`` (Caffe's rule) keeps a last window that hangs
    over the edge, unless it would start in the padding behind the input, as PyTorch does.

    Raises
    ------
    ValueError
        If padding exceeds half the kernel, or no window fits.
    """
    out = []
    check_pool_padding(op, kernel, padding)
    for axis, n, k, s, p, d in zip(_AXES, size, kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - receptive_extent(k, d)
        windows = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (windows - 1) * s >= n + p:
            windows -= 1
        if windows < 1:
            raise _too_large(op, "window", axis, n, k, p, d)
        out.append(windows)
    return out[0], out[1]
