"""The sliding window of pooling against a loop over every tap of every window."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given

from minideconv.ops.geometry import Window
from minideconv.ops.pool_window import check_images, pool_window
from minideconv.testing import PoolGeometry, pool_geometries


def window_of(g: PoolGeometry) -> Window:
    return pool_window("pool", g.size, g.kernel, g.stride, g.padding, g.dilation, g.ceil_mode)


def meetings(g: PoolGeometry) -> set[tuple[int, int, int, int, int]]:
    """Every (tap, output row, output column, row, column) that meet on the plane."""
    (h, w), (kh, kw), (ho, wo) = g.size, g.kernel, g.out_size
    met = set()
    for i, j, o, q in itertools.product(range(kh), range(kw), range(ho), range(wo)):
        row = o * g.stride[0] - g.padding[0] + i * g.dilation[0]
        column = q * g.stride[1] - g.padding[1] + j * g.dilation[1]
        if 0 <= row < h and 0 <= column < w:
            met.add((i * kw + j, o, q, row, column))
    return met


@given(pool_geometries(max_out=4, max_kernel=4, max_stride=4, max_dilation=3))
def test_taps_meet_the_pixels_of_the_formula(g):
    window = window_of(g)
    assert window.out == g.out_size
    met = set()
    for tap, outputs, pixels in window.taps():
        grid = [
            list(zip(range(n)[out], range(size)[pixel], strict=True))
            for n, size, out, pixel in zip(window.out, g.size, outputs, pixels, strict=True)
        ]
        met |= {(tap, o, q, r, c) for (o, r), (q, c) in itertools.product(*grid)}
    assert met == meetings(g)


@given(pool_geometries(max_out=4, max_kernel=4, max_stride=4, max_dilation=3))
def test_first_taps_are_the_first_on_the_plane(g):
    window, met = window_of(g), meetings(g)
    for o, q in itertools.product(*(range(n) for n in window.out)):
        first = min(tap for tap, row, column, _, _ in met if (row, column) == (o, q))
        assert window.first_taps(0)[o] * g.kernel[1] + window.first_taps(1)[q] == first


@given(pool_geometries(max_out=4, max_kernel=4, max_stride=4, max_dilation=3))
def test_windows_without_overlap_meet_every_pixel_once(g):
    pixels = [(row, column) for *_, row, column in meetings(g)]
    if not window_of(g).overlaps:
        assert len(pixels) == len(set(pixels))


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "out", "overlaps"),
    [
        ((2, 2), (2, 2), (1, 1), (4, 4), False),
        ((3, 2), (2, 2), (1, 1), (4, 4), True),
        ((2, 3), (2, 2), (1, 1), (4, 4), True),
        ((3, 3), (2, 2), (1, 1), (1, 1), False),  # a single window
        ((2, 2), (1, 1), (2, 2), (2, 2), False),  # the second window falls between the taps
        ((2, 2), (1, 1), (2, 2), (3, 3), True),  # the third one meets them
        ((2, 2), (3, 3), (2, 2), (9, 9), False),  # 3 and 6 are no distance of two taps
    ],
)
def test_overlaps(kernel, stride, dilation, out, overlaps):
    window = Window((40, 40), kernel, stride, (0, 0), dilation, out)
    assert window.overlaps is overlaps


def test_a_window_that_meets_no_pixel_is_refused():
    with pytest.raises(
        ValueError, match=r"starts at pixel -1 along height meets none .* dilation 2"
    ):
        pool_window("max_pool2d", (1, 9), (2, 2), (1, 1), (1, 1), (2, 2))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, None, 0, 1), ValueError, r"op: kernel_size is \(0, 0\); .* at least 1"),
        ((2, 0, 0, 1), ValueError, r"op: stride is \(0, 0\)"),
        ((2, None, -1, 1), ValueError, r"op: padding is \(-1, -1\)"),
        ((2, None, 0, 0), ValueError, r"op: dilation is \(0, 0\)"),
        (((2, 3), None, (1, 2), 1), ValueError, r"padding is 2 along width; it must be in 0..1"),
        ((2.5, None, 0, 1), TypeError, r"kernel_size is 2.5; it must be an integer or a pair"),
        (((9, 2), None, 0, 1), ValueError, r"spans 9 pixels of height .* only 8"),
    ],
)
def test_illegal_geometry_is_refused_in_words(arguments, error, message):
    with pytest.raises(error, match=message):
        pool_window("op", (8, 7), *arguments)


def test_arrays_that_are_no_images_are_refused():
    with pytest.raises(ValueError, match=r"op: x has shape \(3, 4\); it must have 4 axes"):
        check_images("op", "x", np.zeros((3, 4)))
    with pytest.raises(TypeError, match=r"op: x has dtype int64; it must be float16, float32"):
        check_images("op", "x", np.zeros((1, 1, 3, 4), dtype=np.int64))
