"""Transposed convolution by its phases against the readable one, over any geometry, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minideconv as md
from minideconv import ops
from minideconv.backend import parallel
from minideconv.engine.layout import from_channels_last, taps_first, to_channels_last
from minideconv.ops.im2col import conv_transpose_window, conv_window
from minideconv.testing import ConvGeometry, conv_geometries, seeds, values

pytest.importorskip("numba", reason="compiled kernels need numba")

from minideconv.engine.cpu.compiled import phases  # needs numba
from minideconv.engine.cpu.table import choose

geometries = conv_geometries(
    max_out=14, max_kernel=7, max_stride=4, max_dilation=1, max_batch=3, max_channels=40,
    max_groups=1,
)  # fmt: skip
NAMED = (
    ConvGeometry(2, 64, 20, size=(20, 32), kernel=(4, 4), stride=(2, 2), padding=(1, 1)),
    ConvGeometry(1, 21, 21, size=(33, 40), kernel=(16, 16), stride=(8, 8), padding=(4, 4)),
    ConvGeometry(1, 5, 3, size=(64, 40), kernel=(64, 64), stride=(32, 32), padding=(16, 12)),
    ConvGeometry(2, 64, 30, size=(18, 23), kernel=(3, 3), stride=(2, 2), padding=(1, 1)),  # groups
    ConvGeometry(2, 7, 9, size=(18, 23), kernel=(1, 2), stride=(3, 4)),  # pixels without a tap
    ConvGeometry(2, 9, 3, size=(11, 9), kernel=(2, 2), stride=(2, 2)),  # a last row without a tap
    ConvGeometry(2, 5, 3, size=(9, 8), kernel=(2, 3), stride=(2, 2), padding=(5, 4)),  # cut off
    ConvGeometry(1, 2, 3, size=(7, 12), kernel=(1, 4), stride=(1, 4)),  # stride 1 along one axis
    ConvGeometry(1, 600, 300, size=(5, 6), kernel=(4, 4), stride=(2, 2)),  # long sums, in pieces
)


def window_of(g):
    return conv_window("test", g.size, g.kernel, g.stride, g.padding, g.dilation)


@given(geometries, seeds())
@settings(max_examples=150)
def test_it_is_the_readable_transposed_convolution(conv, g, seed):
    assume(g.stride != (1, 1))
    conv.input_grad(phases, g, seed)


@pytest.mark.parametrize("g", NAMED, ids=str)
def test_named_geometries(conv, g):
    conv.input_grad(phases, g, 1)


@given(st.data())
@settings(max_examples=80)
def test_output_padding_gets_the_bias_alone_where_no_tap_meets_it(data):
    stride = data.draw(st.tuples(st.integers(1, 4), st.integers(2, 4)), "stride")
    kernel = tuple(data.draw(st.integers(1, 2 * s), "kernel") for s in stride)
    extra = tuple(data.draw(st.integers(0, s - 1), "output padding") for s in stride)
    padding = tuple(data.draw(st.integers(0, (k - 1) // 2), "padding") for k in kernel)
    size = data.draw(st.tuples(st.integers(2, 5), st.integers(2, 5)), "size")
    window = conv_transpose_window("test", size, kernel, stride, padding, extra, 1)
    x, w = values((2, 3, *size), 1, dtype=np.float32), values((3, 19, *kernel), 2, dtype=np.float32)
    b = values(19, 3, dtype=np.float32)
    found = phases.input_grad(to_channels_last(x), taps_first(w), b, window)
    with md.algorithm("reference"):
        want = ops.conv_transpose2d(x, w, b, stride, padding, extra)
    np.testing.assert_array_equal(from_channels_last(found), want)


def test_results_do_not_depend_on_the_number_of_threads():
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    window = conv_transpose_window("test", (40, 50), (4, 4), (2, 2), (1, 1), 0, 1)
    x = to_channels_last(values((3, 64, 40, 50), 1, "normal", np.float32))
    w = taps_first(values((64, 64, 4, 4), 2, "normal", np.float32))
    found = []
    try:
        for threads in (1, 2):
            parallel.set_num_threads(threads)
            found.append(phases.input_grad(x, w, None, window))
    finally:
        parallel.set_num_threads(1)
    np.testing.assert_array_equal(*found)


def test_a_kernel_that_is_no_whole_number_of_strides_wide_is_not_filled_up_where_that_costs():
    wide = conv_transpose_window("test", (9, 9), (3, 3), (2, 2), (1, 1), 1, 1)
    assert phases._groups(wide, 64) == ((0, 1, 2), (1, 1, 1))
    assert phases._groups(wide, 21) == (
        (0, 2, 2),
    )  # 42 channels fill three vectors, as 21 twice do
    whole = conv_transpose_window("test", (9, 9), (4, 4), (2, 2), (1, 1), 0, 1)
    assert phases._groups(whole, 64) == ((0, 2, 2),)


def test_the_table_names_it_for_strides_without_dilation():
    def name(kernel, stride, dilation=1, dtype=np.float32):
        window = conv_window("test", (128, 96), kernel, stride, 0, dilation)
        with md.algorithm("exact"):
            return getattr(choose("input_grad", window, 2, 8, 8, dtype), "name", None)

    before = md.use_compiled(True)
    try:
        assert name(4, 2) == name(64, 32) == name(1, 2) == name((2, 3), (1, 3)) == "phases"
        assert name(4, 2, dtype=np.float64) == "subpixel"
        assert name(4, 2, 2) is None
        assert name(3, 1) == "direct"
    finally:
        md.use_compiled(before)


def test_wrong_versions_are_rejected(conv):
    g = ConvGeometry(2, 18, 20, size=(12, 15), kernel=(4, 6), stride=(2, 3), padding=(1, 1))

    class Wrong:
        def __init__(self, change):
            self.change = change

        def input_grad(self, dy, w, bias, window):
            return self.change(dy, w, bias, window)

    right = phases.input_grad
    conv.input_grad(Wrong(right), g, 0)
    for change in (
        lambda dy, w, b, window: right(dy, np.ascontiguousarray(w[::-1, ::-1]), b, window),
        lambda dy, w, b, window: right(dy, w, None, window),
        lambda dy, w, b, window: np.roll(right(dy, w, b, window), 1, axis=1),
        lambda dy, w, b, window: right(dy[::-1].copy(), w, b, window),
    ):
        with pytest.raises(AssertionError):
            conv.input_grad(Wrong(change), g, 0)
