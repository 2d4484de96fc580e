"""Sizes of convolution, transposed convolution and pooling: the formulas and their error sentences.

Along one axis, a kernel of ``k`` taps spaced ``dilation`` apart covers ``d (k - 1) + 1`` pixels; it
starts every ``stride`` pixels on an input of ``n`` pixels with ``padding`` zeros at both ends:

    conv            n' = floor((n + 2 padding - dilation (k - 1) - 1) / stride) + 1
    conv_transpose  n' = (n - 1) stride - 2 padding + dilation (k - 1) + 1 + output_padding

The second inverts the first up to the remainder that the floor drops: ``stride`` sizes ``n`` give
the same ``n'``, and ``output_padding`` says which of them is meant. See Dumoulin and Visin, "A
guide to convolution arithmetic for deep learning" (2016), relationships 6 and 14.
"""

from __future__ import annotations

import operator
from typing import Any

__all__ = [
    "Pair",
    "check_at_least",
    "check_output_padding",
    "check_window",
    "conv_output_size",
    "conv_transpose_output_size",
    "output_padding_for",
    "pair",
    "pool_output_size",
    "receptive_extent",
]

Pair = tuple[int, int]
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
        number = operator.index(value)
        return number, number
    except TypeError:
        pass
    try:
        height, width = (operator.index(item) for item in value)
        return height, width
    except (TypeError, ValueError):
        raise TypeError(
            f"{op}: {name} is {value!r}; it must be an integer or a pair of integers (height,"
            " width)"
        ) from None


def check_at_least(values: Pair, least: int, name: str, op: str) -> Pair:
    """Return `values`, or raise ValueError if one of the two is below `least`."""
    if min(values) < least:
        raise ValueError(f"{op}: {name} is {values}; both values must be at least {least}")
    return values


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
            raise ValueError(
                f"{op}: the kernel spans {receptive_extent(k, d)} pixels of {axis} (kernel {k},"
                f" dilation {d}) but the padded input has only {n + 2 * p} (input {n}, padding {p})"
            )
        out.append(room // s + 1)
    return out[0], out[1]


def check_output_padding(output_padding: Pair, stride: Pair, dilation: Pair, op: str) -> Pair:
    """Return `output_padding`, or raise ValueError unless each is in [0, max(stride, dilation))."""
    for axis, extra, s, d in zip(_AXES, output_padding, stride, dilation, strict=True):
        if not 0 <= extra < max(s, d):
            raise ValueError(
                f"{op}: output_padding is {extra} along {axis}; with stride {s} and dilation {d}"
                f" it must be in 0..{max(s, d) - 1}: it picks one of the input sizes that a"
                f" convolution of stride {s} maps to the same output, it adds no zeros"
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
                f"{op}: the output would be {length} pixels of {axis} (input {n}, kernel {k},"
                f" stride {s}, padding {p}, dilation {d}, output_padding {extra}); use a smaller"
                " padding"
            )
        out.append(length)
    return out[0], out[1]


def output_padding_for(
    output_size: Pair,
    size: Pair,
    kernel: Pair,
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
    least = [
        (n - 1) * s - 2 * p + receptive_extent(k, d)
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    ]
    for axis, wanted, low, n, s, d in zip(
        _AXES, output_size, least, size, stride, dilation, strict=True
    ):
        if not low <= wanted < low + max(s, d):
            raise ValueError(
                f"{op}: output_size asks for {wanted} pixels of {axis}; an input of {n} can give"
                f" {low}..{low + max(s, d) - 1}"
            )
    return output_size[0] - least[0], output_size[1] - least[1]


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
    for axis, k, p in zip(_AXES, kernel, padding, strict=True):
        if not 0 <= p <= k // 2:
            raise ValueError(
                f"{op}: padding is {p} along {axis}; it must be in 0..{k // 2} (half the kernel"
                f" of {k}), so that every window sees the input"
            )
    out = []
    for axis, n, k, s, p, d in zip(_AXES, size, kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - receptive_extent(k, d)
        windows = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (windows - 1) * s >= n + p:
            windows -= 1
        if windows < 1:
            raise ValueError(
                f"{op}: the window spans {receptive_extent(k, d)} pixels of {axis} (kernel {k},"
                f" dilation {d}) but the padded input has only {n + 2 * p} (input {n}, padding {p})"
            )
        out.append(windows)
    return out[0], out[1]
