"""Dilated convolution by its phases against the readable one, over any geometry, exactly."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minideconv as md
from minideconv import ops
from minideconv.engine.cpu import dilated, im2col_blocked
from minideconv.engine.cpu.table import choose
from minideconv.engine.layout import from_channels_last, taps_first, to_channels_last
from minideconv.ops.im2col import conv_transpose_window, conv_window
from minideconv.testing import ConvGeometry, conv_geometries, seeds, values

PASSES = ("forward", "input_grad", "weight_grad")
# The cut alone: the phases are computed by an algorithm that makes sums of integers exactly.
EXACT = SimpleNamespace(**{n: partial(getattr(dilated, n), by=im2col_blocked) for n in PASSES})

geometries = conv_geometries(
    max_out=9, max_kernel=4, max_stride=1, max_dilation=4, max_batch=3, max_channels=5,
    max_groups=1,
)  # fmt: skip
NAMED = (
    ConvGeometry(2, 5, 4, size=(12, 15), kernel=(3, 3), padding=(2, 2), dilation=(2, 2)),
    ConvGeometry(2, 5, 4, size=(11, 9), kernel=(3, 2), padding=(3, 1), dilation=(2, 3)),  # rest
    ConvGeometry(1, 3, 4, size=(6, 19), kernel=(3, 5), padding=(1, 0), dilation=(1, 4)),  # one axis
    ConvGeometry(1, 3, 4, size=(3, 2), kernel=(2, 2), padding=(3, 4), dilation=(5, 7)),  # no pixel
)


@given(geometries, seeds())
@settings(max_examples=150)
def test_it_is_the_readable_convolution(conv, g, seed):
    assume(g.dilation != (1, 1))
    conv.forward(EXACT, g, seed)
    conv.input_grad(EXACT, g, seed)
    conv.weight_grad(EXACT, g, seed)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("g", NAMED, ids=str)
def test_named_geometries(conv, g, dtype):
    conv.forward(EXACT, g, 1, dtype)
    conv.input_grad(EXACT, g, 1, dtype)
    conv.weight_grad(EXACT, g, 1, dtype)
    conv.adjoint(EXACT, g, 1, dtype)


@given(st.data())
@settings(max_examples=60)
def test_output_padding_of_a_transposed_convolution(data):
    dilation = data.draw(st.tuples(st.integers(1, 4), st.integers(2, 4)), "dilation")
    kernel = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)), "kernel")
    extra = tuple(data.draw(st.integers(0, d - 1), "output padding") for d in dilation)
    padding = tuple(
        data.draw(st.integers(0, d * (k - 1) // 2), "padding")
        for k, d in zip(kernel, dilation, strict=True)
    )
    size = data.draw(st.tuples(st.integers(2, 5), st.integers(2, 5)), "size")
    window = conv_transpose_window("test", size, kernel, 1, padding, extra, dilation)
    x, w = values((2, 3, *size), 1, dtype=np.float32), values((3, 4, *kernel), 2, dtype=np.float32)
    b = values(4, 3, dtype=np.float32)
    found = EXACT.input_grad(to_channels_last(x), taps_first(w), b, window)
    with md.algorithm("reference"):
        want = ops.conv_transpose2d(x, w, b, 1, padding, extra, dilation=dilation)
    np.testing.assert_array_equal(from_channels_last(found), want)


@pytest.mark.parametrize("operation", PASSES)
def test_the_table_names_it_where_winograd_can_do_the_phases(operation):
    def name(kernel=3, stride=1, channels=32, dtype=np.float32, algorithm="fast", size=20):
        window = conv_window("test", (size, size), kernel, stride, 2, 2)
        with md.algorithm(algorithm):
            return str(getattr(choose(operation, window, 2, channels, 32, dtype), "name", None))

    assert name().startswith("winograd")
    assert name().endswith("dilated")
    for other in (
        name(kernel=2),
        name(stride=2),
        name(channels=3),
        name(dtype=np.float64),
        name(algorithm="exact"),
        name(size=6),  # phases of three pixels, less than a tile
    ):
        assert "dilated" not in other


@pytest.mark.parametrize("dilation", [2, (1, 3), (4, 2)], ids=str)
def test_fast_stays_close_to_float64(conv, dilation):
    conv.close_to_float64((2, 40, 36, (31, 38)), 3, padding=dilation, dilation=dilation)


def test_wrong_versions_are_rejected(conv):
    conv.reject(EXACT, NAMED[0])
