r"""A and A^T of convolutional sparse coding are `ops.conv_transpose2d` and `ops.conv2d` themselves.

An image s is to be a sum of few stamps: filters d_m, each put where its map x_m is not 0,

    s  ~  A x = sum_m d_m * x_m

Every pixel of a map stamps its filter, scaled, onto the image. That is transposed convolution, with
the maps as channels; its transpose is convolution, and the third partial of the same form is the
gradient by the filters:

    <A x, r>  =  <x, A^T r>  =  <d, filter_gradient(r, x)>
    conv_transpose2d             conv2d          conv2d_weight_grad

The borders are circular, as usual in this field: what is stamped over the right border comes in
again at the left. `wrap` goes before a convolution for that, and its transpose `fold` behind a
transposed one. Maps have the image's size.

Source: Zeiler, Krishnan, Taylor, Fergus, "Deconvolutional networks" (CVPR 2010), section 3; Heide,
Heidrich, Wetzstein, "Fast and flexible convolutional sparse coding" (CVPR 2015), section 2.
"""

from __future__ import annotations

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.ops import conv2d, conv2d_weight_grad, conv_transpose2d

__all__ = [
    "analysis",
    "check_filters",
    "check_magnitude",
    "filter_gradient",
    "fold",
    "synthesis",
    "wrap",
]

Pair = tuple[int, int]


def synthesis(maps: Array, filters: Array) -> Array:
    """Return A x, the images: (N, M, H, W), (M, C, kh, kw) -> (N, C, H, W).

    Raises
    ------
    ValueError, TypeError
        If shapes or dtypes do not fit, or a filter is larger than the maps.
    """
    check_filters("synthesis", filters, maps.shape[-2:])
    return fold(conv_transpose2d(maps, filters), filters.shape[2:])


def analysis(images: Array, filters: Array) -> Array:
    """Return A^T r, what each filter sees at each place: (N, C, H, W), ... -> (N, M, H, W).

    Raises
    ------
    ValueError, TypeError
        If shapes or dtypes do not fit, or a filter is larger than the images.
    """
    check_filters("analysis", filters, images.shape[-2:])
    return conv2d(wrap(images, filters.shape[2:]), filters)


def filter_gradient(images: Array, maps: Array, kernel: Pair) -> Array:
    """Return the gradient of ``<A x, r>`` by the filters: -> (M, C, kh, kw)."""
    return conv2d_weight_grad(wrap(images, kernel), maps, kernel)


def wrap(images: Array, kernel: Pair) -> Array:
    """Put the first kh - 1 rows and kw - 1 columns once more behind the last: (..., H, W)."""
    h, w = images.shape[-2:]
    widths = ((0, 0),) * (images.ndim - 2) + ((0, kernel[0] - 1), (0, kernel[1] - 1))
    return get_xp(images).pad(images, widths, mode="wrap") if h and w else images


def fold(images: Array, kernel: Pair) -> Array:
    """Add the last kh - 1 rows and kw - 1 columns to the first: the transpose of `wrap`."""
    h, w = images.shape[-2] - kernel[0] + 1, images.shape[-1] - kernel[1] + 1
    rows = images[..., :h, :].copy()
    rows[..., : kernel[0] - 1, :] += images[..., h:, :]
    folded = rows[..., :w].copy()
    folded[..., : kernel[1] - 1] += rows[..., w:]
    return folded


def check_filters(op: str, filters: Array, size: Pair) -> None:
    """Refuse filters (M, C, kh, kw) that are not an array of such a shape, or larger than `size`.

    Raises
    ------
    ValueError
        One sentence with both sizes.
    """
    if filters.ndim != 4 or 0 in filters.shape:
        raise ValueError(
            f"{op}: filters have shape {filters.shape}; they must have 4 axes"
            " (filters, channels, height, width), none of them empty"
        )
    kh, kw = filters.shape[2:]
    if kh > size[0] or kw > size[1]:
        raise ValueError(
            f"{op}: filters of {kh}x{kw} are larger than the image, which is {size[0]}x{size[1]}"
        )


def check_magnitude(what: str, array: Array) -> None:
    """Refuse values whose squares, summed as the objective does, would overflow.

    Raises
    ------
    ValueError
        One sentence with the largest value and what is legal.
    """
    most = float(np.finfo(array.dtype).max) ** 0.25
    largest = float(get_xp(array).abs(array).max())
    if not largest <= most:  # nor NaN
        raise ValueError(
            f"sparse coding: {what} hold values up to {largest:.3g}; in {array.dtype} they must be"
            f" at most {most:.3g}, so that sums of squares are finite"
        )
